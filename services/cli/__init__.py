"""The `floe` command (API.md): runs the services, and talks to a running api."""
