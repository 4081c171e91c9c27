"""Finds pipes and the processes that have them open: the directory of pipes, handles, processes, peers."""
