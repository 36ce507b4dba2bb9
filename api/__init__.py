"""How people and programs reach Bloomery: HTTP, client, command line; the composition root is here."""
