"""What TaskMaster costs, each figure beside a reference of the same run."""
