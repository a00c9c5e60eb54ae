"""The dashboard: pages for people, made on the server from what the gateway's API tells."""
