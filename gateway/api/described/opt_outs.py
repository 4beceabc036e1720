"""This resource's part of the OpenAPI document."""

from gateway.api.shapes import Json

PART: Json = {"paths": {}, "schemas": {}, "tags": []}
