"""Templates that want too much: refused when they are made, harmless when they are rendered, never slow."""

import contextlib
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from webhooks import velocity
from webhooks.velocity import Map, TemplateError

KNOWN = {"mtId": "m-1", "mtContent": "hello", "statusCode": 220, "metadata": Map({"order": "42"})}


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("$mtContent.__class__", "__class__ is no member"),
        ("$mtContent.__class__.__mro__[1].__subclasses__()", "__class__ is no member"),
        ("$metadata.get.__globals__", "__globals__ is no member"),
        ("$metadata.__class__", "__class__ is no member"),
        ("$metadata.pop('order')", r"pop\(…\) may not be used"),
        ("$metadata.put('a', 'b')", r"put\(…\) may not be used"),
        ("$mtContent.getClass()", r"getClass\(…\) may not be used"),
        ("$mtContent.format($mtId)", r"format\(…\) may not be used"),
        ("$mtContent.replaceAll('(a+)+$', '')", r"replaceAll\(…\) may not be used"),
        ("$esc.getClass().forName('java.lang.Runtime')", r"getClass\(…\) may not be used"),
        ("\n\n#parse('/etc/passwd')", "line 3: #parse may not be used"),
        ("#include('/etc/passwd')", "#include may not be used"),
        ("#evaluate($mtContent)", "#evaluate may not be used"),
        ("#macro(again)#again()#end", "#macro may not be used"),
        ("#define($x)a#end", "#define may not be used"),
        ('#set($x = "#parse($mtId)")', "#parse may not be used"),
        ("#set($x.y = 1)", "= after the variable of #set is missing"),
        ("#set($x = {'a': 1})", "a value is missing"),
        ("#set($x = 1", r"\) is missing"),
        ("#if($mtId", r"\) is missing"),
        ("#if($mtId)yes", "#if is not closed by #end"),
        ("#foreach($x in [1..3])$x", "#foreach is not closed by #end"),
        ("#end", "#end without an #if"),
        ("a#else b", "#else without an #if"),
        ("#break", "#break without a #foreach"),
        ("#if no more", r"\( after #if is missing"),
        ("${mtId", "} is missing"),
        ("#* open", r"#\* is not closed"),
        ("#[[ open", r"#\[\[ is not closed"),
        ("#set($x = 'open)", "not closed by its quote"),
        ("#set($x = 99999999999999999999)", "too large"),
        ("#if($a)" * 9000, "nested too deeply"),
        ("#set($x = " + "(" * 60_000, "nested too deeply"),
        ("#set($x = " + "[$a.get(" * 8000, "nested too deeply"),
        ("#set($x = " + "!" * 60_000, "nested too deeply"),
        ("$a" * 2001, "more than 2,000 references"),
        ("x" * 65_537, "more than 65,536 characters"),
        ("a\x00b", "NUL"),
        ("a\ud800b", "surrogate"),
    ],
)  # fmt: skip
def test_it_refuses(template, why):
    with pytest.raises(TemplateError, match=why):
        velocity.check(template)


@pytest.mark.parametrize(
    "template",
    [
        "#foreach($i in [1..1000000000])x#end",
        "#foreach($i in [1..1000])#foreach($j in [1..1000])#foreach($k in [1..1000])#end#end#end",
        "#foreach($i in [1..1000])#foreach($j in [1..1000])$mtContent#end#end",
        '#set($x = "ab")#foreach($i in [1..1000])#set($x = "$x$x")#end$x',
        "#set($x = 'ab')#foreach($i in [1..1000])#set($x = $x + $x)#end$x",
        "#set($x = 'a')#foreach($i in [1..1000])#set($x = $x.replace('a', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'))#end",
        "#set($x = [1])#foreach($i in [1..1000])#set($x = [$x, $x])#end$x",
        "#set($x = 9)#foreach($i in [1..1000])#set($x = $x * $x)#end",
        "#foreach($i in [1..1000])" + "a" * 1000 + "#end",
        "#set($x = '"
        + "a" * 30_000
        + "')#foreach($i in [1..900])#if($x.contains('"
        + "a" * 9000
        + "b'))#end#end",
        "#set($x = '" + "a" * 30_000 + "')#foreach($i in [1..900])#if($x.toUpperCase() == $x)#end#end",
        "#foreach($i in [1..900])#foreach($j in [1..900])#break#end#end" * 9,
    ],
)
def test_it_ends_what_takes_too_long_or_becomes_too_much(template):
    velocity.check(template)
    began = time.perf_counter()
    with pytest.raises(TemplateError, match=r"too l|more than"):
        velocity.render(template, KNOWN)
    assert time.perf_counter() - began < 0.5


def test_it_goes_on_with_other_templates_after_one_that_was_ended():
    with pytest.raises(TemplateError):
        velocity.render("#foreach($i in [1..9999])#end", KNOWN)
    assert velocity.render("$mtId", KNOWN) == "m-1"


def test_it_leaves_the_variables_it_was_given_alone():
    known = dict(KNOWN)
    assert (
        velocity.render("#set($mtId = 1)#foreach($metadata in [1])#end$mtId$metadata.order", known) == "142"
    )
    assert known == KNOWN


_PIECES = st.sampled_from(
    ["#if(", "#foreach($i in ", "#set($x = ", "#end", "#else", "#elseif(", "#{else}", "#break", "#stop", "$", "$!", "${",
     "}", "(", ")", "[", "]", "[1..", "..", "1", "99999999999", "$x", "$i", "$mtId", "$metadata", ".get(", ".keySet()",
     ".key", "$foreach.hasNext", "'", '"', '"$x$x"', "\\", "##", "#*", "*#", "#[[", "]]#", ",", " ", "\n", "==", "&&",
     "+", "*", "/", "%", "-", "!", "not ", "true", "$esc.json(", "a", "é", "\ud83d", "\x00"]
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.text(), st.lists(_PIECES, max_size=60).map("".join)), st.integers(1, 400))
@example("#", 65_536)
@example("$", 65_536)
@example("\\", 65_535)
@example("#*", 30_000)
@example("#* ", 20_000)
@example('"#[[', 16_000)
@example("$a['", 16_000)
@example("[$a([", 13_000)
@example("#if($a)", 9_000)
@example('#set($x="', 7_000)
@example("$a.b", 16_000)
def test_it_raises_nothing_else_and_is_never_slow(piece, times):
    template = piece * times
    began = time.perf_counter()
    with contextlib.suppress(TemplateError):
        velocity.check(template)
        velocity.render(template, KNOWN)
    assert time.perf_counter() - began < 1
