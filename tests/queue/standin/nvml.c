/* Stands in for the driver's library: what the file $NVML_STANDIN says, a line a GPU:
   UUID TOTAL_MIB USED_MIB [PID:MIB]...   A missing file: the driver is not loaded. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX = 16, OK = 0, BAD_ARGUMENT = 2, TOO_SMALL = 7, NOT_LOADED = 9 };
typedef unsigned long long u64;
typedef struct { unsigned pid; u64 memory; unsigned instance, compute; } process_t;
typedef struct { char uuid[96]; u64 total, used; unsigned count; process_t processes[MAX]; } gpu_t;
typedef struct { u64 total, free, used; } memory_t;

static int read_gpus(gpu_t *gpus) {
    FILE *file = fopen(getenv("NVML_STANDIN"), "r");
    char line[4096];
    int count = 0;
    if (!file) return -1;
    while (count < MAX && fgets(line, sizeof line, file)) {
        gpu_t *gpu = &gpus[count];
        int at = 0, more;
        memset(gpu, 0, sizeof *gpu);
        if (sscanf(line, "%95s %llu %llu%n", gpu->uuid, &gpu->total, &gpu->used, &at) < 3) continue;
        process_t *p = gpu->processes;
        while (sscanf(line + at, " %u:%llu%n", &p->pid, &p->memory, &more) == 2) {
            p->memory <<= 20;
            at += more, p++, gpu->count++;
        }
        gpu->total <<= 20, gpu->used <<= 20, count++;
    }
    fclose(file);
    return count;
}

static int find(void *handle, gpu_t *found) {
    gpu_t gpus[MAX];
    long index = (long)handle - 1;
    if (index < 0 || index >= read_gpus(gpus)) return BAD_ARGUMENT;
    *found = gpus[index];
    return OK;
}

int nvmlInitWithFlags(unsigned flags) {
    gpu_t gpus[MAX];
    return read_gpus(gpus) < 0 ? NOT_LOADED : OK;
}

const char *nvmlErrorString(int code) { return code == NOT_LOADED ? "Driver Not Loaded" : "Error"; }

int nvmlDeviceGetCount_v2(unsigned *count) {
    gpu_t gpus[MAX];
    int found = read_gpus(gpus);
    *count = found < 0 ? 0 : found;
    return OK;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle) {
    *handle = (void *)(long)(index + 1);
    return OK;
}

int nvmlDeviceGetMemoryInfo(void *handle, memory_t *memory) {
    gpu_t gpu;
    if (find(handle, &gpu)) return BAD_ARGUMENT;
    *memory = (memory_t){gpu.total, gpu.total - gpu.used, gpu.used};
    return OK;
}

int nvmlDeviceGetUUID(void *handle, char *text, unsigned size) {
    gpu_t gpu;
    if (find(handle, &gpu)) return BAD_ARGUMENT;
    snprintf(text, size, "%s", gpu.uuid);
    return OK;
}

int nvmlDeviceGetComputeRunningProcesses_v3(void *handle, unsigned *count, process_t *processes) {
    gpu_t gpu;
    if (find(handle, &gpu)) return BAD_ARGUMENT;
    unsigned room = *count;
    *count = gpu.count;
    if (gpu.count > room) return TOO_SMALL;
    memcpy(processes, gpu.processes, gpu.count * sizeof *processes);
    return OK;
}
