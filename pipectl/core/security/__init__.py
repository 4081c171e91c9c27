"""Who may do what: SIDs, accounts, access lists and security descriptors."""
