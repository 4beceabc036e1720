"""What a program written for MessageMedia's own SDK does; run with the interpreter that has the SDK.

Arguments: the base URL, the key, the secret. The answers go to standard output's last line as JSON.
"""

import json
import sys

from message_media_webhooks.configuration import Configuration
from message_media_webhooks.exceptions.api_exception import APIException
from message_media_webhooks.message_media_webhooks_client import MessageMediaWebhooksClient
from message_media_webhooks.models.create_webhook_request import CreateWebhookRequest
from message_media_webhooks.models.update_webhook_request import UpdateWebhookRequest

_url, _key, _secret = sys.argv[1:]
Configuration.base_uri = _url
_webhooks = MessageMediaWebhooksClient(_key, _secret).webhooks
_TEMPLATE = '{"id":"$mtId","status":"$statusCode"}'
_README = (
    '    {        "url": "https://myurl.com",        "method": "POST",        "encoding": "FORM_ENCODED",'
    '        "events": [            "ENROUTE_DR"        ],'
    '        "template": "{\\"id\\":\\"$mtId\\", \\"status\\":\\"$statusCode\\"}"    }'
)


def refusal(call, *arguments):
    try:
        call(*arguments)
    except APIException as error:
        return [type(error).__name__, error.response_code, getattr(error, "message", None)]
    return None


def request(**changed):
    body = CreateWebhookRequest()
    body.url = "http://webhook.com"
    body.method = "POST"
    body.encoding = "JSON"
    body.events = ["RECEIVED_SMS"]
    body.template = _TEMPLATE
    for name, value in changed.items():
        setattr(body, name, value)
    return body


def update(**given):
    body = UpdateWebhookRequest()
    for name, value in given.items():
        setattr(body, name, value)
    return body


def run():
    said = {}
    said["created"] = _webhooks.create_webhook(request(headers={"Account": "DeveloperPortal7000"}))
    said["without headers"] = _webhooks.create_webhook(request(url="http://webhook.com/2"))
    said["plain"] = _webhooks.create_webhook(
        {
            "url": "http://a.test/3",
            "method": "GET",
            "encoding": "XML",
            "events": ["OPT_OUT_SMS"],
            "retries": 2,
        }
    )
    key = said["created"]["id"]
    said["all"] = _webhooks.retrieve_webhook()
    said["zero"] = _webhooks.retrieve_webhook(0, 0)
    said["second"] = _webhooks.retrieve_webhook(1, 2)
    said["past"] = _webhooks.retrieve_webhook(85, 85)
    said["updated"] = _webhooks.update_webhook(key, update(template="$drId"))
    said["updated by text"] = _webhooks.update_webhook(key, json.loads(_README))
    said["deleted"] = _webhooks.delete_webhook(key)
    said["left"] = _webhooks.retrieve_webhook()
    said["refusals"] = {
        "same": refusal(_webhooks.create_webhook, request(url="http://webhook.com/2")),
        "empty": refusal(_webhooks.create_webhook, CreateWebhookRequest()),
        "no URL": refusal(_webhooks.create_webhook, request(url="nowhere")),
        "type": refusal(_webhooks.create_webhook, request(headers={"Content-Type": "a/b"})),
        "page": refusal(_webhooks.retrieve_webhook, -1, 10),
        "nothing": refusal(_webhooks.update_webhook, said["plain"]["id"], update()),
        "no events": refusal(_webhooks.update_webhook, said["plain"]["id"], update(events=[])),
        "update nobody's": refusal(_webhooks.update_webhook, key, update(method="PUT")),
        "delete nobody's": refusal(_webhooks.delete_webhook, key),
        "delete no id": refusal(_webhooks.delete_webhook, "a7f11bb0"),
    }
    Configuration.basic_auth_password = "wrong"
    said["refusals"]["stranger"] = refusal(_webhooks.retrieve_webhook)
    return said


print("\n" + json.dumps(run()))
