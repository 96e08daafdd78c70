"""The pages for people: the dashboard, a task's page, and what is done from them."""
