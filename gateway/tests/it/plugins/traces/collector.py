#!/usr/bin/env python3
"""A collector of OTLP over HTTP that reads messages by the official classes of opentelemetry-proto.

Its first line of output is its port, of loopback. Then it writes a line of JSON for each request: the path,
the media type and the message, with the names of the official declaration. Bytes are hexadecimal, words of
enums are their names. A field or a type that the declaration does not have is a key `unknown`. The collector
ends with its input.
"""

import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as traces

MESSAGES = {
    "/v1/traces": (traces.ExportTraceServiceRequest, traces.ExportTraceServiceResponse),
    "/v1/logs": (logs.ExportLogsServiceRequest, logs.ExportLogsServiceResponse),
}


def shown(message):
    """The fields of a message that are set."""
    fields = {field.name: value_of(field, value) for field, value in message.ListFields()}
    unknown = [(field.field_number, field.wire_type) for field in UnknownFieldSet(message)]
    return fields | ({"unknown": unknown} if unknown else {})


def value_of(field, value):
    if not isinstance(value, (bytes, str)) and hasattr(value, "__len__"):
        return [one_of(field, one) for one in value]
    return one_of(field, value)


def one_of(field, value):
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return shown(value)
    if field.type == FieldDescriptor.TYPE_ENUM:
        word = field.enum_type.values_by_number.get(value)
        return word.name if word else {"unknown": value}
    return value.hex() if isinstance(value, bytes) else value


class Collector(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        request, response = MESSAGES[self.path]
        line = {"path": self.path, "content_type": self.headers["Content-Type"]}
        try:
            line["message"], status = shown(request.FromString(body)), 200
            answer = response().SerializeToString()
        except DecodeError as error:
            line["message"], status, answer = {"unknown": str(error)}, 400, b""
        with lock:
            print(json.dumps(line), flush=True)
        self.send_response(status)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


# Requests are read on threads.
lock = threading.Lock()
server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_port, flush=True)
sys.stdin.read()
# Connections that are kept alive have threads that would not end.
os._exit(0)
