# A plugin for Gajim 1.7 that does what its buttons do when told on stdin, and
# prints what Gajim tells its own windows. It touches no XMPP and no Jingle.
#
# A line on stdin is an object with "do":
#
#   send      offers the file "path" to the full JID "to", once Gajim knows that it takes files
#   cancel    presses "Cancel" at the transfer "sid"
#
# Events are objects on stdout, a line each.

import json
import sys

from gi.repository import GLib
from nbxmpp import JID
from nbxmpp.namespaces import Namespace

from gajim.common import app
from gajim.common import ged
from gajim.common.file_props import FilesProp
from gajim.plugins import GajimPlugin


def say(event, **what):
    print(json.dumps({'event': event, **what}), flush=True)


def transfers():
    return app.interface.instances['file_transfers']


class LabPlugin(GajimPlugin):
    def init(self):
        self.events_handlers = {
            'signed-in': (ged.POSTGUI, lambda e: say('online')),
            'file-request-sent': (ged.POSTGUI, lambda e: say('sent', sid=e.file_props.sid)),
            'file-progress': (ged.POSTGUI, lambda e: say('progress', sid=e.file_props.sid, bytes=e.file_props.received_len)),
            'file-completed': (ged.POSTGUI, lambda e: say('completed', sid=e.file_props.sid)),
            'file-error': (ged.POSTGUI, lambda e: say('failed', sid=e.file_props.sid, message=str(e.file_props.error))),
            'file-hash-error': (ged.POSTGUI, lambda e: say('failed', sid=e.file_props.sid, message='hash')),
            'file-request-error': (ged.POSTGUI, lambda e: say('failed', sid=e.file_props.sid, message=e.error_msg)),
            'jingle-ft-cancelled-received': (ged.POSTGUI, lambda e: say('cancelled', sid=e.sid)),
            'jingle-error-received': (ged.POSTGUI, lambda e: say('error', sid=e.sid, message=str(e.reason))),
            'jingle-disconnected-received': (ged.POSTGUI, lambda e: say('ended', sid=e.sid, message=str(e.reason))),
        }

    def activate(self):
        GLib.io_add_watch(sys.stdin, GLib.PRIORITY_DEFAULT, GLib.IO_IN, self._told)
        say('active')

    def _told(self, stdin, _condition):
        line = stdin.readline()
        if not line:
            return False
        told = json.loads(line)
        try:
            getattr(self, '_' + told.pop('do'))(**told)
        except Exception as error:  # Gajim would show it in a window
            say('broken', message=repr(error))
        return True

    def _contact(self, jid):
        account = app.settings.get_active_accounts()[0]
        return account, app.get_client(account).get_module('Contacts').get_contact(jid)

    def _send(self, to, path):
        def known():
            if not self._contact(to)[1].supports(Namespace.JINGLE_FILE_TRANSFER_5):
                return True  # and again
            account, contact = self._contact(app.get_jid_without_resource(to))
            transfers().send_file(account, contact, JID.from_string(to), path)
            return False
        if known():
            GLib.timeout_add(50, known)

    def _cancel(self, sid):
        transfers().cancel_transfer(FilesProp.getFilePropBySid(sid))
