"""What `manage.py taskmaster` does, behind its parser."""
