"""Operations on many tasks: what may be asked for, which tasks it concerns, and its chunks."""
