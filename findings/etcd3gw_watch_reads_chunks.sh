#!/usr/bin/env bash
# PyPI etcd3gw 2.7.0 (requests 2.34.2, urllib3 2.8.0, Python 3.11, Linux): a watch loses a message of which the HTTP body
# has two chunks.
#
# Expected: the borders of chunks mean nothing (RFC 9112, 7.1: a recipient joins them); a message of the JSON gateway ends
# with its line.
# Seen: each chunk is parsed as one text of JSON. etcd 3.7.3 sends a message of any size in one chunk, so it works there.
# Behind a proxy or a server that splits large messages (kvraft did at 64 KiB) the callback is never called, and no
# error is seen: it stays in a future that is never read. Read by lines (the control), both bodies are equal.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check etcd3gw==2.7.0 requests==2.34.2 urllib3==2.8.0
cat >watch.py <<'END'
import base64
import http.server
import json
import threading

import etcd3gw
import requests
from etcd3gw.watch import Watcher

KEY = base64.b64encode(b"key").decode()
VALUE = base64.b64encode(b"v" * 50_000).decode()


class Server(http.server.BaseHTTPRequestHandler):
    """Answers a watch as etcd does, with one event, in chunks of at most so many bytes as the path says."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        size = int(self.path.split("/")[1])
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        event = {"kv": {"key": KEY, "value": VALUE, "mod_revision": "2"}}
        for message in ({"created": True}, {"events": [event]}):
            line = json.dumps({"result": message}).encode() + b"\n"
            for part in (line[at:at + size] for at in range(0, len(line), size)):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
server.handle_error = lambda *_: None  # a client that failed resets its connection
threading.Thread(target=server.serve_forever, daemon=True).start()
port = server.server_address[1]
for size in (1_000_000, 65_536):
    client = etcd3gw.client(host="127.0.0.1", port=port, api_path=f"/{size}/")
    events = []
    watcher = Watcher(client, "key", events.append)
    # The server ends the body, so the thread of the watch ends too.
    watcher._executor.shutdown(wait=True)
    body = requests.post(client.get_url("/watch"), json={}, stream=True)
    lines = [json.loads(line)["result"] for line in body.iter_lines()]
    read = sum(len(line.get("events", [])) for line in lines)
    print(f"chunks of at most {size} bytes: {len(events)} events from etcd3gw, {read} read by lines")
END
python/bin/python watch.py 2>err | tee out
[ ! -s err ] || { cat err; echo "CHANGED: an error is reported"; exit 1; }
cat >expected <<'END'
chunks of at most 1000000 bytes: 1 events from etcd3gw, 1 read by lines
chunks of at most 65536 bytes: 0 events from etcd3gw, 1 read by lines
END
cmp -s out expected || { echo "CHANGED"; exit 1; }
echo "as described"
