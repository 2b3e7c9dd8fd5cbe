/* A driver library that answers as a text file says: what nvidia-ml-py loads in the tests.
 *
 * $STAND_IN_NVML names the file, which is read at each call, so that a test may change it while
 * somebody looks. A line is a key, a space and a value; a figure that has no line isn't supported.
 *
 *   count 2                     GPUs; by default 0
 *   0.name NVIDIA H100          a figure of the first GPU; 0/1.name of its MIG instance in place 1
 *   error.FUNCTION 4            a function's error, for all GPUs or (0.error.FUNCTION) for one
 *   0.lost_after 40             after so many calls it is lost
 *   0.compute 7:1024 8:-        processes: pid and bytes, `-` for not told
 *   0.fd.3 12                   a numbered value; 0.fd.138.2 that of the third link
 *   0.xids 79 48                faults, told one a call, each once
 *
 * $STAND_IN_NVML_CALLS names a file that gets the name of each function called.
 * Compiled with -DOLD_DRIVER it has none of the functions that came last. Names and layouts are
 * those of NVIDIA's nvml.h, as nvidia-ml-py repeats them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned int uint;
typedef unsigned long long ulonglong;
typedef struct { int index, place, calls, xids; } Device;
typedef struct { uint pid; ulonglong memory; uint gpu_instance, compute_instance; } Process;
typedef struct { ulonglong total, free, used; } Memory;
typedef struct { uint version; ulonglong total, reserved, free, used; } Memory2;
typedef struct { Device *device; ulonglong type, data; uint gpu_instance, compute_instance; } Event;
typedef struct {
    uint field, scope;
    long long timestamp, latency;
    uint type, code;
    union { double d; uint ui; ulonglong ull; } value;
} Field;

enum { SUCCESS, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7,
       TIMEOUT = 10, LOST = 15 };
enum { GPUS = 16, PLACES = 8, LINE = 4096, NOT_TOLD = -1 };

static Device gpus[GPUS], parts[GPUS][PLACES];

static int find(const char *key, char *value, size_t size)
{
    const char *path = getenv("STAND_IN_NVML");
    FILE *file = path ? fopen(path, "r") : NULL;
    char line[LINE];
    size_t length = strlen(key);
    int found = 0;
    while (file && !found && fgets(line, sizeof line, file))
        if (!strncmp(line, key, length) && line[length] == ' ') {
            line[strcspn(line, "\n")] = 0;
            snprintf(value, size, "%s", line + length + 1);
            found = 1;
        }
    if (file)
        fclose(file);
    return found;
}

static int text(const Device *device, const char *name, char *value, size_t size)
{
    char key[256];
    if (!device)
        snprintf(key, sizeof key, "%s", name);
    else if (device->place < 0)
        snprintf(key, sizeof key, "%d.%s", device->index, name);
    else
        snprintf(key, sizeof key, "%d/%d.%s", device->index, device->place, name);
    return find(key, value, size);
}

static ulonglong number(const Device *device, const char *name, ulonglong otherwise)
{
    char value[LINE];
    return text(device, name, value, sizeof value) ? strtoull(value, NULL, 0) : otherwise;
}

/* Count a call; the error that it gets, or SUCCESS. */
static int asked(Device *device, const char *function)
{
    char key[256];
    const char *path = getenv("STAND_IN_NVML_CALLS");
    FILE *file = path ? fopen(path, "a") : NULL;
    int code;
    if (file) {
        fprintf(file, "%s\n", function);
        fclose(file);
    }
    if (device && ++device->calls > (int)number(device, "lost_after", 1 << 30))
        return LOST;
    snprintf(key, sizeof key, "error.%s", function);
    code = (int)number(NULL, key, SUCCESS);
    return code || !device ? code : (int)number(device, key, SUCCESS);
}

static int told(Device *device, const char *function, const char *name, char *value, size_t size)
{
    int code = asked(device, function);
    return code ? code : text(device, name, value, size) ? SUCCESS : NOT_SUPPORTED;
}

static int figure(Device *device, const char *function, const char *name, void *out, int wide)
{
    char value[LINE];
    int code = told(device, function, name, value, sizeof value);
    if (code == SUCCESS && wide)
        *(ulonglong *)out = strtoull(value, NULL, 0);
    else if (code == SUCCESS)
        *(uint *)out = (uint)strtoull(value, NULL, 0);
    return code;
}

int nvmlInitWithFlags(uint flags)
{
    for (int i = 0; i < GPUS; i++) {
        gpus[i] = (Device){i, -1, 0, 0};
        for (int j = 0; j < PLACES; j++)
            parts[i][j] = (Device){i, j, 0, 0};
    }
    return (void)flags, asked(NULL, "nvmlInitWithFlags");
}

int nvmlShutdown(void) { return asked(NULL, "nvmlShutdown"); }
const char *nvmlErrorString(int code) { return (void)code, "an error"; }

int nvmlSystemGetDriverVersion(char *out, uint size)
{
    return told(NULL, "nvmlSystemGetDriverVersion", "driver", out, size);
}

int nvmlSystemGetProcessName(uint pid, char *out, uint size)
{
    char key[64];
    snprintf(key, sizeof key, "process.%u", pid);
    return told(NULL, "nvmlSystemGetProcessName", key, out, size) ? NOT_FOUND : SUCCESS;
}

int nvmlDeviceGetCount_v2(uint *out)
{
    *out = (uint)number(NULL, "count", 0);
    return asked(NULL, "nvmlDeviceGetCount");
}

int nvmlDeviceGetHandleByIndex_v2(uint index, Device **out)
{
    if (index >= number(NULL, "count", 0) || index >= GPUS)
        return INVALID_ARGUMENT;
    *out = &gpus[index];
    return asked(*out, "nvmlDeviceGetHandleByIndex");
}

int nvmlDeviceGetName(Device *d, char *out, uint size)
{
    return told(d, "nvmlDeviceGetName", "name", out, size);
}

int nvmlDeviceGetUUID(Device *d, char *out, uint size)
{
    return told(d, "nvmlDeviceGetUUID", "uuid", out, size);
}

int nvmlDeviceGetCudaComputeCapability(Device *d, int *major, int *minor)
{
    char value[LINE];
    int code = told(d, "nvmlDeviceGetCudaComputeCapability", "capability", value, sizeof value);
    if (code == SUCCESS)
        sscanf(value, "%d.%d", major, minor);
    return code;
}

int nvmlDeviceGetMemoryInfo(Device *d, Memory *out)
{
    int code = figure(d, "nvmlDeviceGetMemoryInfo", "memory_total", &out->total, 1);
    /* The first form counts what the driver keeps for itself as used. */
    out->used = number(d, "memory_used", 0) + number(d, "memory_reserved", 0);
    out->free = out->total - out->used;
    return code;
}

int nvmlDeviceGetUtilizationRates(Device *d, uint out[2])
{
    out[1] = 0;
    return figure(d, "nvmlDeviceGetUtilizationRates", "utilization", out, 0);
}

#define FIGURE(function, name) \
    int function(Device *d, uint *out) { return figure(d, #function, name, out, 0); }
FIGURE(nvmlDeviceGetPowerUsage, "power")
FIGURE(nvmlDeviceGetEnforcedPowerLimit, "power_limit")
FIGURE(nvmlDeviceGetFanSpeed, "fan")
FIGURE(nvmlDeviceGetCurrPcieLinkGeneration, "pcie_generation")
FIGURE(nvmlDeviceGetMaxPcieLinkGeneration, "pcie_generation_max")
FIGURE(nvmlDeviceGetCurrPcieLinkWidth, "pcie_width")
FIGURE(nvmlDeviceGetMaxPcieLinkWidth, "pcie_width_max")
FIGURE(nvmlDeviceGetMaxMigDeviceCount, "mig_places")

int nvmlDeviceGetTemperature(Device *d, uint sensor, uint *out)
{
    return (void)sensor, figure(d, "nvmlDeviceGetTemperature", "temperature", out, 0);
}

int nvmlDeviceGetTemperatureThreshold(Device *d, uint kind, uint *out)
{
    const char *name = kind == 1 ? "slowdown_temperature" : "other_threshold";
    return figure(d, "nvmlDeviceGetTemperatureThreshold", name, out, 0);
}

int nvmlDeviceGetClockInfo(Device *d, uint kind, uint *out)
{
    const char *name = kind == 1 ? "sm_clock" : kind == 2 ? "memory_clock" : "other_clock";
    return figure(d, "nvmlDeviceGetClockInfo", name, out, 0);
}

int nvmlDeviceGetMaxClockInfo(Device *d, uint kind, uint *out)
{
    const char *name = kind == 1 ? "sm_clock_max" : "other_clock_max";
    return figure(d, "nvmlDeviceGetMaxClockInfo", name, out, 0);
}

int nvmlDeviceGetPcieThroughput(Device *d, uint way, uint *out)
{
    const char *name = way == 0 ? "pcie_sent" : "pcie_received";
    return figure(d, "nvmlDeviceGetPcieThroughput", name, out, 0);
}

int nvmlDeviceGetCurrentClocksThrottleReasons(Device *d, ulonglong *out)
{
    return figure(d, "nvmlDeviceGetCurrentClocksThrottleReasons", "reasons", out, 1);
}

int nvmlDeviceGetNvLinkState(Device *d, uint link, uint *out)
{
    char name[32];
    snprintf(name, sizeof name, "link.%u", link);
    return figure(d, "nvmlDeviceGetNvLinkState", name, out, 0);
}

int nvmlDeviceGetFieldValues(Device *d, int count, Field *fields)
{
    int code = asked(d, "nvmlDeviceGetFieldValues");
    for (int i = 0; code == SUCCESS && i < count; i++) {
        char name[64], value[LINE];
        int of_link = fields[i].field == 138 || fields[i].field == 139;
        snprintf(name, sizeof name, of_link ? "fd.%u.%u" : "fd.%u", fields[i].field, fields[i].scope);
        fields[i].code = text(d, name, value, sizeof value) ? SUCCESS : NOT_SUPPORTED;
        fields[i].type = 3;
        if (fields[i].code == SUCCESS)
            fields[i].value.ull = strtoull(value, NULL, 0);
    }
    return code;
}

int nvmlDeviceGetMigMode(Device *d, uint *current, uint *pending)
{
    int code = figure(d, "nvmlDeviceGetMigMode", "mig", current, 0);
    *pending = *current;
    return code;
}

int nvmlDeviceGetMigDeviceHandleByIndex(Device *d, uint place, Device **out)
{
    char name[16], key[64];
    int code = asked(d, "nvmlDeviceGetMigDeviceHandleByIndex");
    snprintf(key, sizeof key, "%d/%u.uuid", d->index, place);
    if (code == SUCCESS && (place >= PLACES || !find(key, name, sizeof name)))
        return NOT_FOUND;
    *out = &parts[d->index][place];
    return code;
}

static int processes(Device *d, const char *function, const char *name, uint *size, Process *out)
{
    char value[LINE] = "";
    uint count = 0, room = *size;
    int code = asked(d, function);
    if (code)
        return code;
    text(d, name, value, sizeof value);
    for (char *word = strtok(value, " "); word; word = strtok(NULL, " "), count++)
        if (out && count < room) {
            char *memory = strchr(word, ':') + 1;
            ulonglong bytes = *memory == '-' ? (ulonglong)NOT_TOLD : strtoull(memory, NULL, 0);
            out[count] = (Process){(uint)atoi(word), bytes, 0, 0};
        }
    *size = count;
    return count > (out ? room : 0) ? TOO_SMALL : SUCCESS;
}

#define PROCESSES(kind, version, name) \
    int nvmlDeviceGet##kind##RunningProcesses_##version(Device *d, uint *size, Process *out) \
    { return processes(d, "nvmlDeviceGet" #kind "RunningProcesses", name, size, out); }
PROCESSES(Compute, v2, "compute")
PROCESSES(Graphics, v2, "graphics")
PROCESSES(MPSCompute, v2, "mps")

#ifndef OLD_DRIVER
PROCESSES(Compute, v3, "compute")
PROCESSES(Graphics, v3, "graphics")
PROCESSES(MPSCompute, v3, "mps")

int nvmlDeviceGetMemoryInfo_v2(Device *d, Memory2 *out)
{
    int code = figure(d, "nvmlDeviceGetMemoryInfo", "memory_total", &out->total, 1);
    out->used = number(d, "memory_used", 0);
    out->reserved = number(d, "memory_reserved", 0);
    out->free = out->total - out->used - out->reserved;
    return code;
}

int nvmlDeviceGetCurrentClocksEventReasons(Device *d, ulonglong *out)
{
    return figure(d, "nvmlDeviceGetCurrentClocksEventReasons", "reasons", out, 1);
}
#endif

int nvmlEventSetCreate(void **out)
{
    *out = gpus;
    return asked(NULL, "nvmlEventSetCreate");
}

int nvmlDeviceRegisterEvents(Device *d, ulonglong kinds, void *set)
{
    return (void)kinds, (void)set, asked(d, "nvmlDeviceRegisterEvents");
}

int nvmlEventSetWait_v2(void *set, Event *out, uint timeout)
{
    int code = asked(NULL, "nvmlEventSetWait");
    (void)set, (void)timeout;
    for (int i = 0; code == SUCCESS && i < GPUS; i++) {
        char value[LINE] = "";
        int place = 0;
        text(&gpus[i], "xids", value, sizeof value);
        for (char *word = strtok(value, " "); word; word = strtok(NULL, " "), place++)
            if (place == gpus[i].xids) {
                gpus[i].xids++;
                *out = (Event){&gpus[i], 8, strtoull(word, NULL, 0), 0, 0};
                return SUCCESS;
            }
    }
    return code ? code : TIMEOUT;
}
