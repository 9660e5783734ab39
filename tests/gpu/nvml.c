// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: GPL-3.0-or-later
//
// A libnvidia-ml that tells of one GPU, so that NVIDIA's own nvidia-ctk and device plugin run on a machine without one.
// What is asked of it was seen with nvidia-ctk 1.20.2 and device plugin 0.18.2; structures as in NVIDIA's nvml.h.

#include <stdio.h>
#include <string.h>
#include <unistd.h>

// DRIVER comes from the build (tests/closed_network/builds/nvidia.py).
#define UUID "GPU-010ea8fa-ef0f-83ce-b259-fd402f319664"

enum { SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, TIMED_OUT = 10 };
typedef int Result;
typedef void *Device;

struct Pci {
  char legacy[16];
  unsigned domain, bus, device, id, subsystem;
  char bus_id[32];
};

static int the_gpu;

static Result text(char *target, unsigned size, const char *source) {
  snprintf(target, size, "%s", source);
  return SUCCESS;
}

static Result number(unsigned *target, unsigned value) {
  *target = value;
  return SUCCESS;
}

static Result gpu(Device *device) {
  *device = &the_gpu;
  return SUCCESS;
}

Result nvmlInit_v2(void) { return SUCCESS; }
Result nvmlInitWithFlags(unsigned flags) { return (void)flags, SUCCESS; }
Result nvmlShutdown(void) { return SUCCESS; }
const char *nvmlErrorString(Result code) { return code == NOT_SUPPORTED ? "not supported" : "an error of the stand-in"; }

Result nvmlSystemGetDriverVersion(char *target, unsigned size) { return text(target, size, DRIVER); }
Result nvmlSystemGetCudaDriverVersion(int *target) { return number((unsigned *)target, 13000); }
Result nvmlSystemGetCudaDriverVersion_v2(int *target) { return number((unsigned *)target, 13000); }

Result nvmlDeviceGetCount_v2(unsigned *target) { return number(target, 1); }
Result nvmlDeviceGetHandleByIndex_v2(unsigned index, Device *device) { return index ? INVALID_ARGUMENT : gpu(device); }
Result nvmlDeviceGetHandleByUUID(const char *uuid, Device *device) { return strcmp(uuid, UUID) ? INVALID_ARGUMENT : gpu(device); }
Result nvmlDeviceGetHandleByPciBusId_v2(const char *id, Device *device) { return (void)id, gpu(device); }

Result nvmlDeviceGetUUID(Device device, char *target, unsigned size) { return (void)device, text(target, size, UUID); }
Result nvmlDeviceGetName(Device device, char *target, unsigned size) { return (void)device, text(target, size, "NVIDIA H200"); }
Result nvmlDeviceGetIndex(Device device, unsigned *target) { return (void)device, number(target, 0); }
Result nvmlDeviceGetMinorNumber(Device device, unsigned *target) { return (void)device, number(target, 0); }
Result nvmlDeviceGetBrand(Device device, unsigned *target) { return (void)device, number(target, 14); }
Result nvmlDeviceGetArchitecture(Device device, unsigned *target) { return (void)device, number(target, 9); }
Result nvmlDeviceIsMigDeviceHandle(Device device, unsigned *target) { return (void)device, number(target, 0); }
Result nvmlDeviceGetMaxMigDeviceCount(Device device, unsigned *target) { return (void)device, number(target, 0); }
Result nvmlDeviceGetMigMode(Device device, unsigned *now, unsigned *later) { return (void)device, (void)now, (void)later, NOT_SUPPORTED; }

Result nvmlDeviceGetCudaComputeCapability(Device device, int *major, int *minor) {
  (void)device;
  *major = 9;
  *minor = 0;
  return SUCCESS;
}

Result nvmlDeviceGetMemoryInfo(Device device, unsigned long long *total_free_used) {
  (void)device;
  total_free_used[0] = total_free_used[1] = 143771ULL << 20;
  total_free_used[2] = 0;
  return SUCCESS;
}

Result nvmlDeviceGetPciInfo_v3(Device device, struct Pci *target) {
  (void)device;
  *target = (struct Pci){.legacy = "0000:00:06.0", .device = 6, .id = 0x233510de, .bus_id = "00000000:00:06.0"};
  return SUCCESS;
}

// The device plugin waits for errors of the hardware; there are none.
Result nvmlDeviceGetSupportedEventTypes(Device device, unsigned long long *target) {
  (void)device;
  *target = ~0ULL;
  return SUCCESS;
}
Result nvmlEventSetCreate(Device *set) { return gpu(set); }
Result nvmlEventSetFree(Device set) { return (void)set, SUCCESS; }
Result nvmlDeviceRegisterEvents(Device device, unsigned long long types, Device set) { return (void)device, (void)types, (void)set, SUCCESS; }
Result nvmlEventSetWait_v2(Device set, void *event, unsigned milliseconds) {
  (void)set, (void)event;
  usleep(milliseconds * 1000u);
  return TIMED_OUT;
}

Result nvmlDeviceGetAddressingMode(Device device, void *target) { return (void)device, (void)target, NOT_SUPPORTED; }
Result nvmlDeviceGetGpuFabricInfo(Device device, void *target) { return (void)device, (void)target, NOT_SUPPORTED; }
Result nvmlDeviceGetGpuFabricInfoV(Device device, void *target) { return (void)device, (void)target, NOT_SUPPORTED; }
Result nvmlDeviceGetNumaNodeId(Device device, unsigned *target) { return (void)device, (void)target, NOT_SUPPORTED; }
