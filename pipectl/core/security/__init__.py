"""Access control: SIDs, accounts, tokens, ACLs and security descriptors."""
