"""The same job behind several servers: restore (or compress) one picture a request, bytes in, bytes out."""
