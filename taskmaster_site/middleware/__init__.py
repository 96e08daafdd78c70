"""Set the content security policy, reject U+0000, and answer database outages."""
