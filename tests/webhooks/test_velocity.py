"""Templates: what they give, and that the vendor's own samples work."""

import json

import airspeed
import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhooks import velocity
from webhooks.velocity import List, Map, Record

KNOWN = {
    "format": "SMS",
    "mtId": "m-1",
    "messageId": "m-1",
    "drId": "d-1",
    "status": "delivered",
    "statusCode": 220,
    "accountId": "acme",
    "vendorId": "Trunkline",
    "sourceAddress": "+61491570156",
    "destinationAddress": "+61491593156",
    "receivedTimestamp": "2026-01-02T03:04:05.678Z",
    "submittedTimestamp": "2026-01-02T03:04:05.678Z",
    "mtContent": 'Say "é"\n💬 \\ <&>',
    "moContent": "Hello",
    "replyContent": "Hello",
    "moId": "r-1",
    "replyId": "r-1",
    "metadata": Map({"order": "42", "note": 'a "b"'}),
}
# messagemedia/sinchengage-developer, spec/paths/webhooks/v1_webhooks_messages.yaml.
MO = '{  "account_id": "$accountId",  "reply_id": "$replyId",  "destination_number": "$destinationAddress",  "source_number": "$sourceAddress",  "date_received": "$receivedTimestamp",  "message_id": "$messageId",  #if ($attachments)  "attachments": [   #foreach ($entry in $attachments)    {      "content_type": "$entry.contentType",      "content": "$entry.base64",      "original_name": "$entry.originalName"    }#if( $foreach.hasNext ),#end    #end  ],  #else  "content": "$esc.json($moContent)",  #end  "metadata": {    #foreach ($entry in $metadata.entrySet())    "$entry.key": "$entry.value"#if( $foreach.hasNext ),#end    #end  }}'
DR = '{  "delivery_report_id": "$drId",  "source_number": "$sourceAddress",  "date_received": "$receivedTimestamp",  "status": "$status",  "delay": "0",  "submitted_date": "$submittedTimestamp",  "message_id": "$messageId",  "original_text": "$esc.json($!mtContent)",  "vendor_account_id": {    "vendor_id": "$vendorId",    "account_id": "$accountId"  },  "error_code": "$statusCode",  "metadata": {    #foreach($key in $metadata.keySet())    "$key": "$esc.json($metadata.get($key))"#if( $velocityHasNext ),#end    #end  }}'
# messagemedia/n8n-engage, nodes/SinchEngage/SinchEngageTrigger.node.ts.
N8N = '{"id": "$!moId","date_received": "$receivedTimestamp","destination_number": "$!destinationAddress","source_number": "$!sourceAddress","message_content": "$esc.json($replyContent)","metadata":{#foreach($key in $metadata.keySet())"$key" : "$esc.json($metadata.get($key))"#if( $velocityHasNext ), #end#end}}'
# messagemedia/webhooks-demo, create-xml-webhook.php, in short.
XML = """<?xml version="1.0"?>
<root>
    <content>
        <original>$mtContent</original>
        <reply>$moContent</reply>
    </content>
    <messageId>$mtId</messageId>
</root>
"""


def render(template, **more):
    velocity.check(template)
    return velocity.render(template, KNOWN | more)


def test_it_renders_the_vendors_sample_of_a_delivery_report():
    assert json.loads(render(DR)) == {
        "delivery_report_id": "d-1",
        "source_number": "+61491570156",
        "date_received": "2026-01-02T03:04:05.678Z",
        "status": "delivered",
        "delay": "0",
        "submitted_date": "2026-01-02T03:04:05.678Z",
        "message_id": "m-1",
        "original_text": 'Say "é"\n💬 \\ <&>',
        "vendor_account_id": {"vendor_id": "Trunkline", "account_id": "acme"},
        "error_code": "220",
        "metadata": {"order": "42", "note": 'a "b"'},
    }


def test_it_renders_the_vendors_sample_of_a_reply_with_and_without_attachments():
    plain = Map({"order": "42"})
    picture = Record({"contentType": "image/png", "base64": "iVBO", "originalName": "a.png"})
    without = json.loads(render(MO, metadata=plain))
    with_two = json.loads(render(MO, metadata=Map({}), attachments=List((picture, picture), 1)))
    assert (without["content"], without["metadata"], "attachments" in without) == (
        "Hello",
        {"order": "42"},
        False,
    )
    assert with_two["metadata"] == {}
    assert (
        with_two["attachments"]
        == [{"content_type": "image/png", "content": "iVBO", "original_name": "a.png"}] * 2
    )


def test_it_renders_the_template_of_the_vendors_n8n_node():
    assert json.loads(render(N8N))["metadata"] == {"order": "42", "note": 'a "b"'}
    assert json.loads(render(N8N, metadata=Map({}), moId=None))["id"] == ""


def test_it_inserts_raw_text_and_keeps_every_other_byte():
    assert render(XML) == XML.replace("$mtContent", KNOWN["mtContent"]).replace(
        "$moContent", "Hello"
    ).replace("$mtId", "m-1")
    odd = "\ufeff a\r\n\tb  \u00a0\u2028 {}[]()|&;:'\" 💬 100% €5 $5 $ #1 #fff # end\\n \\"
    assert render(odd) == odd


@pytest.mark.parametrize(
    ("template", "body"),
    [
        ("$replyTo|$!replyTo|${nobody}|$!{nobody}|", "$replyTo||${nobody}||"),
        ("${mtId}x ${mtId}.json $mtId. $mtId, $mtId: $!mtId!", "m-1x m-1.json m-1. m-1, m-1: m-1!"),
        (
            "$metadata.get('order') $metadata.get('none') $!metadata.get('none').",
            "42 $metadata.get('none') .",
        ),
        ("$metadata.order $metadata['order'] $metadata.size() $metadata.containsKey('note')", "42 42 2 true"),
        ("$metadata.keySet() $metadata", '[order, note] {order=42, note=a "b"}'),
        (
            "#foreach($e in $metadata.entrySet())$e.key=$e.getValue()#if($foreach.hasNext);#end#end",
            'order=42;note=a "b"',
        ),
        ("#foreach($v in $metadata)$velocityCount.$v #end", '1.42 2.a "b" '),
        (
            "#foreach($i in [3..1])$foreach.index$i$foreach.first$foreach.last #end",
            "03truefalse 12falsefalse 21falsetrue ",
        ),
        ("#foreach($i in ['a', \"b$mtId\", 3])$i,#end$i", "a,bm-1,3,$i"),
        ("#foreach($i in [1..9])#if($i == 3)#break#end$i#end", "12"),
        ("#foreach($x in $mtId)no#end#foreach($x in $none)no#end", ""),
        ("#foreach($a in [1,2])#foreach($b in [1,2])$foreach.count#end$foreach.count #end", "121 122 "),
        ("a#stop b", "a"),
        ("#set($x = 'a')#set($x = $none)$x", "a"),
        ('#set($x = "$mtId/$!none/$other")$x', "m-1//$other"),
        ("#set($x = 'it''s $mtId')$x", "it's $mtId"),
        ("#set($x = 2 + 3 * 4 - 10 / 3 % 2)$x #set($x = (2 + 3) * -4)$x", "13 -20"),
        ("#set($x = 1 + 'a' + 2)$x #set($x = 1 / 0)$x", "1a2 1a2"),
        ("#if($none)a#elseif($mtId == 'm-1' && !$none)b#{else}c#end", "b"),
        (
            "#if($statusCode == 220)1#end#if($statusCode == '220')2#end#if($statusCode.equals('220'))3#end",
            "123",
        ),
        ("#if($statusCode >= 200 and $statusCode lt 300 or $none)ok#{else}no#end", "ok"),
        ("#if('')empty is true#end#if(false)no#end#if(not $none)!#end", "empty is true!"),
        ("#if($status.equals('delivered') || $none.key.equals(1))x#end", "x"),
        (
            "$mtId.length() $mtId.toUpperCase() $mtId.replace('-', '_') $mtId.substring(2) $mtId.indexOf('z')",
            "3 M-1 m_1 1 -1",
        ),
        (
            "$esc.json($none)|$esc.json($!none)|$esc.xml('<&')|$esc.url('a b&')",
            "$esc.json($none)||&lt;&amp;|a%20b%26",
        ),
        ("\\$mtId \\\\$mtId \\$none \\#if \\\\#if(true)x#end", "$mtId \\m-1 \\$none #if \\x"),
        ("a ## to the end\nb#* over\nlines *#c#[[ $mtId #if ]]#", "a bc $mtId #if "),
        ("#if(true)\nyes\n#end\nnext", "yes\nnext"),
        ("#set($x = 1)\n#foreach($i in [1..2])\n$i\n#end\n.", "1\n2\n."),
        ("#notadirective #ffffff ##", "#notadirective #ffffff "),
    ],
)
def test_it_renders(template, body):
    assert render(template) == body


@pytest.mark.parametrize(
    "template",
    [DR.replace("$esc.json($!mtContent)", "").replace("$esc.json($metadata.get($key))", "$metadata.get($key)"), XML,
     "#if($a)x#elseif($mtId)y#{else}z#end|$mtId|$!none|$none", "#foreach($i in [1..3])$i#if($velocityHasNext),#end#end",
     "#set($x = $mtId)\n$x $statusCode", "a ## b\nc #* d *# e", "#if($mtId == 'm-1' && 3 > 2)\nyes\n#end\nno"],
)  # fmt: skip
def test_it_gives_what_another_reader_of_velocity_gives(template):
    known = {name: value.items if isinstance(value, Map) else value for name, value in KNOWN.items()}
    assert render(template) == airspeed.Template(template).merge(known)


@given(
    st.lists(
        st.sampled_from(["$mtId", "$!none", "$none", " a ", "\n", '{"b":', "${status}", "#fff", "\\n", "%"])
    )
)
def test_it_gives_what_another_reader_gives_for_any_mixture_of_text_and_references(parts):
    template = "|".join(parts)
    known = {"mtId": "m-1", "status": "delivered"}
    assert velocity.render(template, known) == airspeed.Template(template).merge(dict(known))
