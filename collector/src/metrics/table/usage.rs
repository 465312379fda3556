//! Who uses a device and how it is divided; activity of its pipes by kind.

use orrery_telemetry::{DeviceSample, MigInstance, Process, Reading};
use orrery_units::{Bytes, Ratio};

use super::{Metric, Rows, gauge_of, labelled_reading, plain_gauge, ratio, read, several};
use crate::metrics::{Labels, Number};

pub(super) static METRICS: [Metric; 6] = [
    gauge_of(
        "orrery_gpu_tensor_pipe_active",
        "ratio",
        "Activity of the tensor pipes by kind",
        |d| {
            let number = |ratio: &Ratio| Number::Real(ratio.get());
            vec![
                labelled_reading("pipe", "hmma", &d.activity.tensor_hmma, number),
                labelled_reading("pipe", "imma", &d.activity.tensor_imma, number),
                labelled_reading("pipe", "dfma", &d.activity.tensor_dfma, number),
            ]
        },
    ),
    gauge_of(
        "orrery_gpu_fp64_active",
        "ratio",
        "Activity of the FP64 pipes",
        |d| ratio(&d.activity.fp64),
    ),
    gauge_of(
        "orrery_gpu_fp16_active",
        "ratio",
        "Activity of the FP16 pipes",
        |d| ratio(&d.activity.fp16),
    ),
    gauge_of(
        "orrery_gpu_process_memory",
        "bytes",
        "Memory of the device that a process holds",
        |d| several(&d.processes, |processes| processes.iter().map(process).collect()),
    ),
    gauge_of(
        "orrery_gpu_mig_memory_used",
        "bytes",
        "Memory in use of a part of the device",
        |d| instances(d, |instance| &instance.memory_used),
    ),
    plain_gauge(
        "orrery_gpu_processes",
        "Processes that hold memory of the device",
        |d| {
            several(&d.processes, |processes| {
                vec![(Vec::new(), Reading::Value(Number::Whole(processes.len() as u64)))]
            })
        },
    ),
];

fn process(process: &Process) -> (Labels, Reading<Number>) {
    let job = &process.job;
    let mut labels: Labels = vec![
        ("pid", process.pid.to_string().into()),
        ("process", process.name.clone().into()),
    ];
    let known = [
        ("slurm_job", job.slurm_job.map(|number| number.to_string())),
        ("slurm_step", job.slurm_step.clone()),
        ("rank", job.rank.map(|number| number.to_string())),
        ("pod_uid", job.pod_uid.clone()),
        ("container", job.container.clone()),
        (
            "gpu_instance",
            process.gpu_instance.map(|number| number.to_string()),
        ),
    ];
    // Every row has every label, as OpenMetrics likes it.
    labels.extend(known.map(|(label, value)| (label, value.unwrap_or_default().into())));
    (labels, read(&process.memory, |bytes| Number::Whole(bytes.get())))
}

fn instances(device: &DeviceSample, of: fn(&MigInstance) -> &Reading<Bytes>) -> Rows {
    several(&device.mig.instances, |instances| {
        let row = |instance: &MigInstance| {
            let number =
                |reading: &Reading<u32>| reading.value().map(ToString::to_string).unwrap_or_default();
            let labels: Labels = vec![
                ("instance", instance.index.to_string().into()),
                ("instance_uuid", instance.uuid.clone().into()),
                ("profile", instance.name.clone().into()),
                ("gpu_instance", number(&instance.gpu_instance).into()),
                ("compute_instance", number(&instance.compute_instance).into()),
            ];
            (labels, read(of(instance), |bytes| Number::Whole(bytes.get())))
        };
        instances.iter().map(row).collect()
    })
}
