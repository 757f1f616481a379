"""Makes calls of the connection management API with boto3, and prints what became of each as JSON.

The one argument is a JSON list of calls: {call, endpoint, id, key_id, secret} and, where they matter, {data, bytes
(to which blanks fill up the data), session_token, region, skew_s, payload, trusted (a file with the certificate of the
endpoint, whose name stands for 127.0.0.1 then)}.
"""

import datetime
import json
import socket
import sys
import urllib.parse

import boto3
import botocore.auth
import botocore.exceptions

right_time = botocore.auth.get_current_datetime
look_up = socket.getaddrinfo


def stands_here(name):
    def found(host, *more, **named):
        return look_up("127.0.0.1" if host == name else host, *more, **named)

    socket.getaddrinfo = found


def made(call):
    skew = datetime.timedelta(seconds=call.get("skew_s", 0))
    botocore.auth.get_current_datetime = lambda **names: right_time(**names) + skew
    if "trusted" in call:
        stands_here(urllib.parse.urlsplit(call["endpoint"]).hostname)
    client = boto3.client(
        "apigatewaymanagementapi",
        endpoint_url=call["endpoint"],
        region_name=call.get("region", "us-east-1"),
        aws_access_key_id=call["key_id"],
        aws_secret_access_key=call["secret"],
        aws_session_token=call.get("session_token"),
        verify=call.get("trusted"),
    )
    if "payload" in call:

        def say(request, **_):
            request.headers["X-Amz-Content-SHA256"] = call["payload"]

        client.meta.events.register("before-sign.apigatewaymanagementapi", say)
    arguments = {"ConnectionId": call["id"]}
    if call["call"] == "post_to_connection":
        arguments["Data"] = call["data"].ljust(call.get("bytes", 0)).encode("latin-1")
    try:
        answer, raised = getattr(client, call["call"])(**arguments), None
    except botocore.exceptions.ClientError as error:
        answer, raised = error.response, error
        # What users write: the classes that the client itself has.
        for name in ("Gone", "Forbidden", "PayloadTooLarge", "LimitExceeded"):
            known = getattr(client.exceptions, name + "Exception")
            assert isinstance(error, known) == (type(error).__name__ == known.__name__), error
    about = answer.pop("ResponseMetadata")
    return {
        "status": about["HTTPStatusCode"],
        "raised": raised and type(raised).__name__,
        "message": raised and str(raised),
        "request_id": about.get("RequestId"),
        "answer": answer,
    }


print(json.dumps([made(call) for call in json.loads(sys.argv[1])], default=str))
