/* labctl: a plugin for Dino 0.4 that presses Dino's own buttons when told over
 * D-Bus, and prints what happens. It touches no XMPP, Jingle, ICE or RTP.
 *
 * Dino loads it from DINO_PLUGIN_DIR. Its actions appear on the application
 * object (/im/dino/Dino, org.gtk.Actions):
 *
 *   lab-call (s)             open the conversation with a JID and choose "audio call" from its menu
 *   lab-call-video (s)       likewise "video call"
 *   lab-accept, lab-reject   press the button of the newest incoming call
 *   lab-hangup               press the red button of every live call
 *   lab-mute (b)             press the microphone button
 *   lab-video (b)            press the camera button
 *   lab-send-file ((ss))     offer a file to a JID, as dropping it on the window does
 *
 * Events are lines on stdout: "LAB <unix ms> <event> <key>=<value> ...".
 * Dino has no development package; what is used of it is declared here.
 */
#include <gio/gio.h>
#include <stdio.h>
#include <string.h>

typedef struct {
	GTypeInterface parent;
	void (*registered)(gpointer self, gpointer app);
	void (*shutdown)(gpointer self);
} RootInterface;

extern GType dino_plugins_root_interface_get_type(void);
extern gpointer dino_application_get_stream_interactor(gpointer app);
extern gpointer dino_stream_interactor_get_module(gpointer interactor, GType type, GBoxedCopyFunc copy, GDestroyNotify free, gpointer identity);
extern gpointer dino_stream_interactor_get_accounts(gpointer interactor);
extern gpointer dino_calls_IDENTITY, dino_conversation_manager_IDENTITY, dino_file_manager_IDENTITY;
extern GType dino_calls_get_type(void), dino_conversation_manager_get_type(void), dino_file_manager_get_type(void);
extern void dino_file_manager_send_file(gpointer manager, GFile *file, gpointer conversation, GAsyncReadyCallback done, gpointer data);
extern void dino_file_manager_send_file_finish(gpointer manager, GAsyncResult *result);
extern gpointer dino_conversation_manager_create_conversation(gpointer manager, gpointer jid, gpointer account, int *type);
extern void dino_conversation_manager_start_conversation(gpointer manager, gpointer conversation);
extern void dino_call_state_end(gpointer state, const char *reason);
extern void dino_call_state_mute_own_audio(gpointer state, gboolean mute);
extern void dino_call_state_mute_own_video(gpointer state, gboolean mute);
extern gpointer xmpp_jid_new(const char *jid, GError **error);
extern gpointer gee_abstract_list_get(gpointer list, int index);
extern int gee_abstract_collection_get_size(gpointer collection);
extern GList *gtk_application_get_windows(gpointer app);
extern gpointer gtk_widget_get_first_child(gpointer widget), gtk_widget_get_next_sibling(gpointer widget);
extern const char *gtk_widget_get_tooltip_text(gpointer widget);
extern gboolean gtk_widget_get_visible(gpointer widget), gtk_widget_get_sensitive(gpointer widget);
extern gboolean gtk_widget_activate_action(gpointer widget, const char *name, const char *format, ...);

static gpointer app, interactor;
static GList *live; /* CallState, newest first */
static gpointer incoming, incoming_conversation;

static void event(const char *format, ...) {
	va_list args;
	printf("LAB %" G_GINT64_FORMAT " ", g_get_real_time() / 1000);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
}

static gpointer module(GType type, gpointer identity) {
	return dino_stream_interactor_get_module(interactor, type, (GBoxedCopyFunc)g_object_ref, g_object_unref, identity);
}

static int id_of(gpointer object) {
	int id = -1;
	g_object_get(object, "id", &id, NULL);
	return id;
}

static const char *state_of(gpointer call) {
	static const char *names[] = {"RINGING", "ESTABLISHING", "IN_PROGRESS", "OTHER_DEVICE", "ENDED", "DECLINED", "MISSED", "FAILED"};
	int state = -1;
	g_object_get(call, "state", &state, NULL);
	return state >= 0 && state < (int)G_N_ELEMENTS(names) ? names[state] : "?";
}

static void on_state(GObject *call, GParamSpec *spec, gpointer data) {
	event("call-state id=%d state=%s", id_of(call), state_of(call));
}

static void watch(gpointer call, gpointer state) {
	g_signal_connect(call, "notify::state", G_CALLBACK(on_state), NULL);
	live = g_list_prepend(live, g_object_ref(state));
}

static void on_incoming(gpointer calls, gpointer call, gpointer state, gpointer conversation, gboolean video, gboolean multiparty, gpointer data) {
	incoming = g_object_ref(call);
	incoming_conversation = g_object_ref(conversation);
	watch(call, state);
	event("call-incoming id=%d video=%d", id_of(call), video);
}

static void on_outgoing(gpointer calls, gpointer call, gpointer state, gpointer conversation, gpointer data) {
	watch(call, state);
	event("call-outgoing id=%d", id_of(call));
}

static void on_terminated(gpointer calls, gpointer call, const char *reason, const char *text, gpointer data) {
	event("call-terminated id=%d state=%s reason=%s text=%s", id_of(call), state_of(call), reason ? reason : "-", text ? text : "-");
}

static void on_negotiated(gpointer si, gpointer account, gpointer stream, gpointer data) { event("online"); }

static gpointer find_by_tooltip(gpointer widget, const char *tooltip) {
	const char *has = gtk_widget_get_tooltip_text(widget);
	if (has && !strcmp(has, tooltip)) return widget;
	for (gpointer c = gtk_widget_get_first_child(widget); c; c = gtk_widget_get_next_sibling(c)) {
		gpointer found = find_by_tooltip(c, tooltip);
		if (found) return found;
	}
	return NULL;
}

/* The button is there once Dino knows what the contact's devices can do. */
typedef struct {
	const char *entry; /* of the menu */
	int tries;
} Press;

static gboolean press_call(gpointer data) {
	Press *press = data;
	gpointer button = NULL;
	for (GList *w = gtk_application_get_windows(app); w && !button; w = w->next) button = find_by_tooltip(w->data, "Start call");
	gboolean ready = button && gtk_widget_get_visible(button) && gtk_widget_get_sensitive(button);
	if (!ready && ++press->tries < 100) return G_SOURCE_CONTINUE;
	if (ready && gtk_widget_activate_action(button, press->entry, NULL)) event("pressed-call");
	else event("error text=no-call-button");
	g_free(press);
	return G_SOURCE_REMOVE;
}

static void do_call(GSimpleAction *action, GVariant *target, gpointer entry) {
	gpointer accounts = dino_stream_interactor_get_accounts(interactor);
	if (!accounts || gee_abstract_collection_get_size(accounts) < 1) {
		event("error text=no-account");
		return;
	}
	GError *error = NULL;
	gpointer jid = xmpp_jid_new(g_variant_get_string(target, NULL), &error);
	if (error) {
		event("error text=bad-jid");
		g_error_free(error);
		return;
	}
	int type = 0; /* a chat */
	gpointer manager = module(dino_conversation_manager_get_type(), dino_conversation_manager_IDENTITY);
	gpointer conversation = dino_conversation_manager_create_conversation(manager, jid, gee_abstract_list_get(accounts, 0), &type);
	dino_conversation_manager_start_conversation(manager, conversation);
	g_action_group_activate_action(G_ACTION_GROUP(app), "open-conversation", g_variant_new_int32(id_of(conversation)));
	Press *press = g_new0(Press, 1);
	press->entry = entry;
	g_timeout_add(50, press_call, press);
}

static void do_answer(GSimpleAction *action, GVariant *target, gpointer button) {
	if (!incoming) {
		event("error text=no-incoming-call");
		return;
	}
	event("pressed-%s id=%d", (char *)button, id_of(incoming));
	g_action_group_activate_action(G_ACTION_GROUP(app), button, g_variant_new("(ii)", id_of(incoming_conversation), id_of(incoming)));
}

static void do_hangup(GSimpleAction *action, GVariant *target, gpointer data) {
	event("pressed-hangup calls=%d", g_list_length(live));
	GList *calls = live;
	live = NULL;
	for (GList *c = calls; c; c = c->next) dino_call_state_end(c->data, NULL);
	g_list_free_full(calls, g_object_unref);
}

static void do_video(GSimpleAction *action, GVariant *target, gpointer data) {
	if (!live) {
		event("error text=no-call");
		return;
	}
	event("pressed-video on=%d", g_variant_get_boolean(target));
	dino_call_state_mute_own_video(live->data, !g_variant_get_boolean(target));
}

static void do_mute(GSimpleAction *action, GVariant *target, gpointer data) {
	if (!live) {
		event("error text=no-call");
		return;
	}
	event("pressed-mute on=%d", g_variant_get_boolean(target));
	dino_call_state_mute_own_audio(live->data, g_variant_get_boolean(target));
}

static void on_file_sent(GObject *manager, GAsyncResult *result, gpointer data) {
	dino_file_manager_send_file_finish(manager, result);
	event("file-offered");
}

static void do_send_file(GSimpleAction *action, GVariant *target, gpointer data) {
	gpointer accounts = dino_stream_interactor_get_accounts(interactor);
	const char *to, *path;
	g_variant_get(target, "(&s&s)", &to, &path);
	GError *error = NULL;
	gpointer jid = xmpp_jid_new(to, &error);
	if (error) {
		event("error text=bad-jid");
		g_error_free(error);
		return;
	}
	int type = 0; /* a chat */
	gpointer manager = module(dino_conversation_manager_get_type(), dino_conversation_manager_IDENTITY);
	gpointer conversation = dino_conversation_manager_create_conversation(manager, jid, gee_abstract_list_get(accounts, 0), &type);
	dino_conversation_manager_start_conversation(manager, conversation);
	g_object_set(conversation, "encryption", 0, NULL); /* none */
	dino_file_manager_send_file(module(dino_file_manager_get_type(), dino_file_manager_IDENTITY), g_file_new_for_path(path), conversation, on_file_sent, NULL);
}

static void add(const char *name, const GVariantType *type, GCallback callback, gpointer data) {
	GSimpleAction *action = g_simple_action_new(name, type);
	g_signal_connect(action, "activate", callback, data);
	g_action_map_add_action(G_ACTION_MAP(app), G_ACTION(action));
}

static void lab_registered(gpointer self, gpointer application) {
	app = application;
	interactor = dino_application_get_stream_interactor(app);
	gpointer calls = module(dino_calls_get_type(), dino_calls_IDENTITY);
	g_signal_connect(calls, "call-incoming", G_CALLBACK(on_incoming), NULL);
	g_signal_connect(calls, "call-outgoing", G_CALLBACK(on_outgoing), NULL);
	g_signal_connect(calls, "call-terminated", G_CALLBACK(on_terminated), NULL);
	g_signal_connect(interactor, "stream-negotiated", G_CALLBACK(on_negotiated), NULL);
	add("lab-call", G_VARIANT_TYPE_STRING, G_CALLBACK(do_call), "call.audio");
	add("lab-call-video", G_VARIANT_TYPE_STRING, G_CALLBACK(do_call), "call.video");
	add("lab-accept", NULL, G_CALLBACK(do_answer), "accept-call");
	add("lab-reject", NULL, G_CALLBACK(do_answer), "reject-call");
	add("lab-hangup", NULL, G_CALLBACK(do_hangup), NULL);
	add("lab-video", G_VARIANT_TYPE_BOOLEAN, G_CALLBACK(do_video), NULL);
	add("lab-mute", G_VARIANT_TYPE_BOOLEAN, G_CALLBACK(do_mute), NULL);
	add("lab-send-file", G_VARIANT_TYPE("(ss)"), G_CALLBACK(do_send_file), NULL);
}

static void lab_shutdown(gpointer self) {}

static void lab_root_init(RootInterface *iface) {
	iface->registered = lab_registered;
	iface->shutdown = lab_shutdown;
}

typedef struct { GObject parent; } Lab;
typedef struct { GObjectClass parent; } LabClass;
static void lab_init(Lab *self) {}
static void lab_class_init(LabClass *class) {}
G_DEFINE_TYPE_WITH_CODE(Lab, lab, G_TYPE_OBJECT, G_IMPLEMENT_INTERFACE(dino_plugins_root_interface_get_type(), lab_root_init))

GType register_plugin(void *module) { return lab_get_type(); }
