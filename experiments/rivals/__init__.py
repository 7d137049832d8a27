"""What `experiments.real_tasks` compares us with, each in a process of its own."""
