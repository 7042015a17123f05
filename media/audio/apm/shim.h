// C for the part of libwebrtc-audio-processing 0.3 that is used; it is in C++.
#pragma once
#ifdef __cplusplus
extern "C" {
#endif
typedef struct carillon_apm carillon_apm;
// Returns NULL when there is no memory. The rate is in Hz, the rest 0 or 1.
carillon_apm *carillon_apm_new(int rate, int echo, int noise, int gain);
void carillon_apm_free(carillon_apm *);
// 10 ms, mono, -1 to 1. They return 0 or the error of the library.
int carillon_apm_render(carillon_apm *, float *);
int carillon_apm_capture(carillon_apm *, float *, int delay_ms);
#ifdef __cplusplus
}
#endif
