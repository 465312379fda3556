"""What nvidia-ml-py (and, with `nvitop`, nvitop) reads of every device, as one JSON object a device.

A question that the driver does not answer is told as {"absent": the name of the error}.
"""

import json
import sys

import pynvml as nvml

LINK_SUM = 0xFFFFFFFF
# (number before driver 580.82, scope)
FIELDS = [(82, 0), (185, 0), (186, 0), (74, 0), (142, 0), (143, 0), (144, 0), (145, 0), (230, 0),
          (138, LINK_SUM), (139, LINK_SUM), (138, 1), (139, 0), (197, 0), (198, 0)]


def ask(call, *arguments):
    try:
        return call(*arguments)
    except nvml.NVMLError as fault:
        return {"absent": type(fault).__name__.removeprefix("NVMLError_")}


def fields(device, wanted):
    answer = ask(nvml.nvmlDeviceGetFieldValues, device, wanted)
    if isinstance(answer, dict):
        return answer
    members = {1: "uiVal", 3: "ullVal"}
    return {
        f"{number}/{scope}": getattr(value.value, members[value.valueType])
        if value.nvmlReturn == nvml.NVML_SUCCESS
        else {"absent": value.nvmlReturn}
        for (number, scope), value in zip(wanted, answer)
    }


def memory(device):
    info = ask(nvml.nvmlDeviceGetMemoryInfo, device, nvml.nvmlMemory_v2)
    return info if isinstance(info, dict) else [info.total, info.reserved, info.used, info.free]


def instances(device):
    found = []
    count = ask(nvml.nvmlDeviceGetMaxMigDeviceCount, device)
    for index in range(count if isinstance(count, int) else 0):
        instance = ask(nvml.nvmlDeviceGetMigDeviceHandleByIndex, device, index)
        if isinstance(instance, dict):
            continue
        found.append({
            "uuid": nvml.nvmlDeviceGetUUID(instance),
            "gpu_instance": nvml.nvmlDeviceGetGpuInstanceId(instance),
            "memory": memory(instance),
        })
    return found


def by_pynvml(device):
    rates = ask(nvml.nvmlDeviceGetUtilizationRates, device)
    processes = ask(nvml.nvmlDeviceGetComputeRunningProcesses, device)
    mode = ask(nvml.nvmlDeviceGetMigMode, device)
    ecc = [[ask(nvml.nvmlDeviceGetTotalEccErrors, device, kind, counter) for kind in (0, 1)] for counter in (0, 1)]
    return {
        "name": ask(nvml.nvmlDeviceGetName, device),
        "uuid": ask(nvml.nvmlDeviceGetUUID, device),
        "serial": ask(nvml.nvmlDeviceGetSerial, device),
        "vbios": ask(nvml.nvmlDeviceGetVbiosVersion, device),
        "utilization": rates if isinstance(rates, dict) else rates.gpu,
        "memory": memory(device),
        "power": ask(nvml.nvmlDeviceGetPowerUsage, device),
        "power_limit": ask(nvml.nvmlDeviceGetEnforcedPowerLimit, device),
        "energy": ask(nvml.nvmlDeviceGetTotalEnergyConsumption, device),
        "sm_clock": ask(nvml.nvmlDeviceGetClockInfo, device, nvml.NVML_CLOCK_SM),
        "memory_clock": ask(nvml.nvmlDeviceGetClockInfo, device, nvml.NVML_CLOCK_MEM),
        "temperature": ask(nvml.nvmlDeviceGetTemperature, device, nvml.NVML_TEMPERATURE_GPU),
        "throttles": ask(nvml.nvmlDeviceGetCurrentClocksThrottleReasons, device),
        "performance_state": ask(nvml.nvmlDeviceGetPerformanceState, device),
        "ecc": ecc,
        "pcie": [ask(nvml.nvmlDeviceGetCurrPcieLinkGeneration, device),
                 ask(nvml.nvmlDeviceGetCurrPcieLinkWidth, device)],
        "replays": ask(nvml.nvmlDeviceGetPcieReplayCounter, device),
        "links": [ask(nvml.nvmlDeviceGetNvLinkState, device, link) for link in (0, 1)],
        "processes": processes if isinstance(processes, dict)
        else [[process.pid, process.usedGpuMemory] for process in processes],
        "mig": mode if isinstance(mode, dict) else mode[0],
        "instances": instances(device),
        "fields": fields(device, FIELDS),
        "throttle_fields": fields(device, [(int(number), 0) for number in sys.argv[2].split(",")]),
    }


def by_nvitop(index):
    from nvitop import Device

    device = Device(index)
    return {
        "name": device.name(),
        "uuid": device.uuid(),
        "memory": [device.memory_total(), device.memory_used(), device.memory_free()],
        "utilization": device.gpu_utilization(),
        "power": device.power_usage(),
        "temperature": device.temperature(),
        "sm_clock": device.sm_clock(),
        "memory_clock": device.memory_clock(),
        "performance_state": device.performance_state(),
        "uncorrected": device.total_volatile_uncorrected_ecc_errors(),
        "processes": sorted(device.processes()),
        "mig": device.mig_mode(),
    }


def errors(device):
    """The errors that come within a second."""
    events = nvml.nvmlEventSetCreate()
    nvml.nvmlDeviceRegisterEvents(device, nvml.nvmlEventTypeXidCriticalError, events)
    found = {}
    while True:
        event = ask(nvml.nvmlEventSetWait_v2, events, 1000)
        if isinstance(event, dict):
            return found
        found[event.eventData] = found.get(event.eventData, 0) + 1


def main():
    nvml.nvmlInit()
    devices = []
    for index in range(nvml.nvmlDeviceGetCount()):
        handle = ask(nvml.nvmlDeviceGetHandleByIndex, index)
        if isinstance(handle, dict):
            devices.append(handle)
        elif sys.argv[1] == "nvitop":
            devices.append(by_nvitop(index))
        elif sys.argv[1] == "errors":
            devices.append(errors(handle))
        else:
            devices.append(by_pynvml(handle))
    print(json.dumps({"driver": nvml.nvmlSystemGetDriverVersion(), "devices": devices}))


main()
