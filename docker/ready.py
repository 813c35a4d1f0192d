"""The container's health check: says what /readyz says, and ends with 0 only when that is ready."""

import http.client
import os
import sys

connection = http.client.HTTPConnection("127.0.0.1", int(os.environ.get("VCODEC_PORT", "8000")), timeout=4)
try:
    connection.request("GET", "/readyz")
    answer = connection.getresponse()
    print(answer.read().decode())
except OSError as error:
    sys.exit(str(error))
sys.exit(answer.status != http.client.OK)
