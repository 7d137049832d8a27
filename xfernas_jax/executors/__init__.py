"""Where evaluations run: in this process, or in workers that own a part of the devices each."""
