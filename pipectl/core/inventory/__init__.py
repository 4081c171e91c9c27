"""What is known of pipes and of the processes that hold them: the directory of pipes, processes, peers."""
