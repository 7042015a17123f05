"""A slixmpp client for TestIntegrationSlixmpp: prints what happens, one event a line."""

import asyncio
import sys

import slixmpp


class Client(slixmpp.ClientXMPP):
    def __init__(self, jid, password, address, tls, ca):
        super().__init__(jid, password)
        self.where = address
        self.tls = tls
        self.ca_certs = ca
        self.end_session_on_disconnect = False  # so that the session can be resumed
        for plugin in ("xep_0030", "xep_0198", "xep_0199", "xep_0280"):
            self.register_plugin(plugin)
        self.finished = asyncio.get_event_loop().create_future()
        for event in ("session_start", "session_resumed", "message", "disconnected", "failed_auth"):
            self.add_event_handler(event, getattr(self, "on_" + event))

    def dial(self):
        self.connect(self.where, use_ssl=self.tls, force_starttls=not self.tls)

    def say(self, *words):
        print(*words, flush=True)

    async def on_session_start(self, event):
        self.say("bound", self.boundjid.full)
        self.send_presence()
        roster = await self.get_roster()
        for item in sorted(str(j) for j in roster["roster"]["items"]):
            self.say("contact", item, roster["roster"]["items"][item]["subscription"])
        info = await self["xep_0030"].get_info(jid=self.boundjid.domain)
        self.say("carbons", "urn:xmpp:carbons:2" in info["disco_info"]["features"])
        await self["xep_0280"].enable()
        await self["xep_0199"].ping(jid=self.boundjid.domain)
        self.send_message(mto="bob@example.org", mbody="hello from slixmpp", mtype="chat")

    def on_session_resumed(self, event):
        sm = self["xep_0198"]  # both sides must have counted the same
        self.say("resumed", "sent", sm.seq, "handled", sm.last_ack)

    def on_message(self, message):
        self.say("message", message["from"], message["body"])
        if message["body"] == "bye":
            self.finished.set_result(None)

    def on_failed_auth(self, event):
        self.say("refused", event["condition"])
        if not self.finished.done():
            self.finished.set_result(None)

    def on_disconnected(self, event):
        if not self.finished.done():
            self.dial()


jid, password, host, port, tls, ca = sys.argv[1:]
client = Client(jid, password, (host, int(port)), tls == "tls", ca)
client.dial()
client.loop.run_until_complete(client.finished)
client.end_session_on_disconnect = True
client.loop.run_until_complete(client.disconnect())
