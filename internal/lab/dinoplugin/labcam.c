/* labcam: a camera for GStreamer programs, made of its own test pictures: no
 * kernel module and no PipeWire. It is found through GST_PLUGIN_PATH.
 *
 *   LABCAM        pattern of videotestsrc, such as red; without it there is no camera
 *   LABCAM_SIZE   320x240 if not set
 *   LABCAM_FPS    15 if not set
 */
#include <gst/gst.h>
#include <stdio.h>
#include <stdlib.h>

#define PACKAGE "labcam"

typedef struct { GstDevice parent; } Camera;
typedef struct { GstDeviceClass parent; } CameraClass;
typedef struct { GstDeviceProvider parent; } Provider;
typedef struct { GstDeviceProviderClass parent; } ProviderClass;

G_DEFINE_TYPE(Camera, camera, GST_TYPE_DEVICE)
G_DEFINE_TYPE(Provider, provider, GST_TYPE_DEVICE_PROVIDER)

static GstElement *camera_open(GstDevice *device, const gchar *name) {
	GstElement *source = gst_element_factory_make("videotestsrc", name);
	g_object_set(source, "is-live", TRUE, NULL);
	gst_util_set_object_arg(G_OBJECT(source), "pattern", g_getenv("LABCAM"));
	return source;
}

static void camera_class_init(CameraClass *class) { GST_DEVICE_CLASS(class)->create_element = camera_open; }
static void camera_init(Camera *camera) {}

static GList *provider_probe(GstDeviceProvider *self) {
	int width = 320, height = 240, fps = 15;
	if (!g_getenv("LABCAM")) return NULL;
	if (g_getenv("LABCAM_SIZE")) sscanf(g_getenv("LABCAM_SIZE"), "%dx%d", &width, &height);
	if (g_getenv("LABCAM_FPS")) fps = atoi(g_getenv("LABCAM_FPS"));
	GstCaps *caps = gst_caps_new_simple("video/x-raw", "format", G_TYPE_STRING, "I420", "width", G_TYPE_INT, width,
		"height", G_TYPE_INT, height, "framerate", GST_TYPE_FRACTION, fps, 1, NULL);
	GstStructure *properties = gst_structure_new("labcam-proplist", "is-default", G_TYPE_BOOLEAN, TRUE, NULL);
	GstDevice *device = g_object_new(camera_get_type(), "display-name", "labcam", "caps", caps,
		"device-class", "Video/Source", "properties", properties, NULL);
	gst_object_set_name(GST_OBJECT(device), "labcam");
	gst_caps_unref(caps);
	gst_structure_free(properties);
	return g_list_append(NULL, device);
}

static gboolean provider_start(GstDeviceProvider *self) {
	for (GList *l = provider_probe(self); l; l = l->next) gst_device_provider_device_add(self, l->data);
	return TRUE;
}

static void provider_stop(GstDeviceProvider *self) {}

static void provider_class_init(ProviderClass *class) {
	GstDeviceProviderClass *c = GST_DEVICE_PROVIDER_CLASS(class);
	c->probe = provider_probe;
	c->start = provider_start;
	c->stop = provider_stop;
	gst_device_provider_class_set_static_metadata(c, "Lab camera", "Source/Video", "videotestsrc as a camera", "lab");
}

static void provider_init(Provider *provider) {}

static gboolean plugin_init(GstPlugin *plugin) {
	return gst_device_provider_register(plugin, "labcamprovider", GST_RANK_PRIMARY, provider_get_type());
}

GST_PLUGIN_DEFINE(GST_VERSION_MAJOR, GST_VERSION_MINOR, labcam, "lab camera", plugin_init, "1.0", "LGPL", "lab", "lab")
