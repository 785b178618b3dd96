"""What machines of others ask over HTTP: routes and answers, no decisions."""
