//! What goes over NVLink and PCIe.

use nvml_wrapper::Device;
use nvml_wrapper_sys::bindings::field_id as id;
use orrery_telemetry::{Link, LinkErrors, Links, NvLink, Pcie, Reading};
use orrery_units::Bytes;

use super::asked::{Answers, Asked};
use super::fields::{ALL_LINKS, Field, FieldValue};

/// Links that any device has (`NVML_NVLINK_MAX_LINKS` of nvml.h).
const MOST_LINKS: u32 = 18;
const KIBIBYTE: u64 = 1024;

/// The fields of [`count`] that are asked with every reading. On Blackwell the counters of bytes take the
/// place of those of KiB.
pub(super) const FIELDS: [Field; 6] = [
    Field {
        id: id::NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX,
        scope: ALL_LINKS,
    },
    Field {
        id: id::NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_RX,
        scope: ALL_LINKS,
    },
    Field {
        id: id::NVML_FI_DEV_NVLINK_COUNT_XMIT_BYTES,
        scope: ALL_LINKS,
    },
    Field {
        id: id::NVML_FI_DEV_NVLINK_COUNT_RCV_BYTES,
        scope: ALL_LINKS,
    },
    Field {
        id: id::NVML_FI_DEV_PCIE_COUNT_TX_BYTES,
        scope: 0,
    },
    Field {
        id: id::NVML_FI_DEV_PCIE_COUNT_RX_BYTES,
        scope: 0,
    },
];

/// The fields that are asked for each link, less often.
const OF_LINK: [u32; 9] = [
    id::NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX,
    id::NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_RX,
    id::NVML_FI_DEV_NVLINK_COUNT_XMIT_BYTES,
    id::NVML_FI_DEV_NVLINK_COUNT_RCV_BYTES,
    id::NVML_FI_DEV_NVLINK_ERROR_DL_REPLAY,
    id::NVML_FI_DEV_NVLINK_ERROR_DL_RECOVERY,
    id::NVML_FI_DEV_NVLINK_COUNT_LINK_RECOVERY_EVENTS,
    id::NVML_FI_DEV_NVLINK_ERROR_DL_CRC,
    id::NVML_FI_DEV_NVLINK_COUNT_EFFECTIVE_ERRORS,
];

/// Takes what went over all links, and over PCIe, from the answers to [`FIELDS`].
pub(super) fn count(answers: &Answers, nvlink: &mut NvLink, pcie: &mut Pcie) {
    nvlink.receive = received(answers, ALL_LINKS);
    nvlink.transmit = sent(answers, ALL_LINKS);
    let (receive, transmit) = (
        answers.of(id::NVML_FI_DEV_PCIE_COUNT_RX_BYTES, 0),
        answers.of(id::NVML_FI_DEV_PCIE_COUNT_TX_BYTES, 0),
    );
    let bytes = |value: FieldValue| Bytes::new(value.number);
    pcie.width = receive.clone().map(|value| value.width);
    pcie.receive = receive.map(bytes);
    pcie.transmit = transmit.map(bytes);
}

/// Takes the replays, generation and lanes of the PCIe link.
pub(super) fn state(device: &Device<'_>, asked: &mut Asked, pcie: &mut Pcie) {
    pcie.replays = asked
        .ask("PCIe replays", || device.pcie_replay_counter())
        .map(u64::from);
    pcie.generation = asked.ask("PCIe generation", || device.current_pcie_link_gen());
    pcie.lanes = asked.ask("PCIe lanes", || device.current_pcie_link_width());
}

/// The links by themselves.
pub(super) fn links(device: &Device<'_>, asked: &mut Asked) -> Reading<Links> {
    let mut links = Vec::new();
    for index in 0..MOST_LINKS {
        let is_active = if index == 0 {
            // Whoever has no first link has none, and is not asked again.
            asked.ask("NVLink", || device.link_wrapper_for(0).is_active())
        } else {
            super::fault::reading(device.link_wrapper_for(index).is_active())
        };
        match is_active {
            Reading::Value(is_active) => links.push((index, is_active)),
            Reading::Absent { absent } if index == 0 => return Reading::absent(absent),
            // Past the last one.
            Reading::Absent { .. } => break,
        }
    }
    let of_link = |&(scope, _): &(u32, bool)| OF_LINK.map(|id| Field { id, scope });
    let fields: Vec<Field> = links.iter().flat_map(of_link).collect();
    let answers = asked.ask_fields(device, &fields);
    let link = |(index, is_active)| Link {
        index,
        is_active,
        receive: received(&answers, index),
        transmit: sent(&answers, index),
        errors: errors(&answers, index),
    };
    Reading::Value(links.into_iter().map(link).collect::<Vec<_>>().into())
}

fn received(answers: &Answers, scope: u32) -> Reading<Bytes> {
    let kibibytes = answers.of(id::NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_RX, scope);
    bytes_of(
        kibibytes,
        answers.of(id::NVML_FI_DEV_NVLINK_COUNT_RCV_BYTES, scope),
    )
}

fn sent(answers: &Answers, scope: u32) -> Reading<Bytes> {
    let kibibytes = answers.of(id::NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX, scope);
    bytes_of(
        kibibytes,
        answers.of(id::NVML_FI_DEV_NVLINK_COUNT_XMIT_BYTES, scope),
    )
}

/// A counter of KiB, or, where there is none, one of bytes.
fn bytes_of(kibibytes: Reading<FieldValue>, bytes: Reading<FieldValue>) -> Reading<Bytes> {
    match (kibibytes, bytes) {
        (Reading::Value(value), _) => Reading::Value(Bytes::new(value.number.saturating_mul(KIBIBYTE))),
        (_, Reading::Value(value)) => Reading::Value(Bytes::new(value.number)),
        (Reading::Absent { absent }, Reading::Absent { .. }) => Reading::absent(absent),
    }
}

fn errors(answers: &Answers, scope: u32) -> LinkErrors {
    let number = |id| answers.of(id, scope).map(|value| value.number);
    let recovery = number(id::NVML_FI_DEV_NVLINK_ERROR_DL_RECOVERY);
    LinkErrors {
        replay: number(id::NVML_FI_DEV_NVLINK_ERROR_DL_REPLAY),
        recovery: match recovery {
            Reading::Value(_) => recovery,
            Reading::Absent { .. } => number(id::NVML_FI_DEV_NVLINK_COUNT_LINK_RECOVERY_EVENTS),
        },
        crc: number(id::NVML_FI_DEV_NVLINK_ERROR_DL_CRC),
        effective: number(id::NVML_FI_DEV_NVLINK_COUNT_EFFECTIVE_ERRORS),
    }
}
