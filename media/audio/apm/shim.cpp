//go:build native && cgo

#include "shim.h"

#include <memory>
#include <new>

#include <webrtc/modules/audio_processing/include/audio_processing.h>

struct carillon_apm {
	std::unique_ptr<webrtc::AudioProcessing> p;
	webrtc::StreamConfig format;
};

extern "C" carillon_apm *carillon_apm_new(int rate, int echo, int noise, int gain) try {
	// Rooms echo for longer than the 48 ms of the usual filter, and what sound
	// servers say about their delay is not exact.
	webrtc::Config config;
	config.Set<webrtc::ExtendedFilter>(new webrtc::ExtendedFilter(true));
	config.Set<webrtc::DelayAgnostic>(new webrtc::DelayAgnostic(true));
	// It turns the volume of the microphone, which we do not let it, and
	// listens for voices all the time to do so.
	config.Set<webrtc::ExperimentalAgc>(new webrtc::ExperimentalAgc(false));
	std::unique_ptr<webrtc::AudioProcessing> p(webrtc::AudioProcessing::Create(config));
	if (!p)
		return nullptr;
	p->high_pass_filter()->Enable(true);
	if (echo) {
		// More would take the near end away when both speak.
		p->echo_cancellation()->set_suppression_level(webrtc::EchoCancellation::kModerateSuppression);
		p->echo_cancellation()->Enable(true);
	}
	if (noise) {
		p->noise_suppression()->set_level(webrtc::NoiseSuppression::kModerate);
		p->noise_suppression()->Enable(true);
	}
	if (gain) {
		p->gain_control()->set_mode(webrtc::GainControl::kAdaptiveDigital);
		p->gain_control()->Enable(true);
	}
	return new carillon_apm{std::move(p), webrtc::StreamConfig(rate, 1, false)};
} catch (const std::bad_alloc &) {
	return nullptr;
}

extern "C" void carillon_apm_free(carillon_apm *a) { delete a; }

extern "C" int carillon_apm_render(carillon_apm *a, float *pcm) {
	float *channels[1] = {pcm};
	return a->p->ProcessReverseStream(channels, a->format, a->format, channels);
}

extern "C" int carillon_apm_capture(carillon_apm *a, float *pcm, int delay_ms) {
	float *channels[1] = {pcm};
	a->p->set_stream_delay_ms(delay_ms);
	return a->p->ProcessStream(channels, a->format, a->format, channels);
}
