# What a test asks of libatspi, the library that screen readers are made with. It
# reads a line of JSON for each thing to do and writes one line for each answer,
# and one for each event.
import json
import sys

import gi

gi.require_version("Atspi", "2.0")
from gi.repository import Atspi, GLib

EVENTS = ["object:state-changed", "object:announcement", "object:children-changed", "object:property-change",
          "object:text-changed", "object:text-caret-moved", "window"]


def say(what):
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def describe(a):
    faces = a.get_interfaces()
    n = {"role": a.get_role_name(), "name": a.get_name(), "description": a.get_description(),
         "states": [s.value_nick for s in a.get_state_set().get_states()], "attributes": a.get_attributes() or {}}
    if "Text" in faces:
        n["text"] = Atspi.Text.get_text(a, 0, -1)
    if "Value" in faces:
        n["value"] = Atspi.Value.get_current_value(a)
    if "Component" in faces:
        e = a.get_extents(Atspi.CoordType.SCREEN)
        n["at"] = [e.x, e.y, e.width, e.height]
    return n


def app(name):
    desktop = Atspi.get_desktop(0)
    for i in range(desktop.get_child_count()):
        a = desktop.get_child_at_index(i)
        if a and a.get_name() == name:
            return a
    return None


def walk(a):
    yield a
    for i in range(a.get_child_count()):
        c = a.get_child_at_index(i)
        if c:
            yield from walk(c)


def find(r):
    a = app(r["app"])
    if not a:
        raise LookupError("no such app")
    for x in walk(a):
        if x.get_role_name() == r["role"] and x.get_name().startswith(r["name"]):
            return x
    raise LookupError("no %s %s" % (r["role"], r["name"]))


def do(r):
    what = r["do"]
    if what == "tree":
        a = app(r["app"])
        return [describe(x) for x in walk(a)] if a else []
    x = find(r)
    if what == "press":
        return Atspi.Action.do_action(x, 0)
    if what == "focus":
        return Atspi.Component.grab_focus(x)
    if what == "write":
        return Atspi.EditableText.set_text_contents(x, r["text"])
    if what == "look":
        return describe(x)
    raise LookupError(what)


def asked(channel, condition):
    line = sys.stdin.readline()
    if not line:
        Atspi.event_quit()
        return False
    try:
        say({"answer": do(json.loads(line))})
    except Exception as e:
        say({"error": str(e)})
    return True


def happened(e):
    try:
        node = e.source
        say({"event": e.type, "detail": e.detail1, "any": e.any_data if isinstance(e.any_data, str) else "",
             "role": node.get_role_name(), "name": node.get_name()})
    except Exception as x:  # what it is about may be gone
        say({"event": e.type, "gone": str(x)})


Atspi.init()
listener = Atspi.EventListener.new(happened)
for name in EVENTS:
    listener.register(name)
GLib.io_add_watch(GLib.IOChannel.unix_new(0), GLib.PRIORITY_DEFAULT, GLib.IOCondition.IN | GLib.IOCondition.HUP, asked)
say({"answer": True})
Atspi.event_main()
