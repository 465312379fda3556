//! Values by field number, many in one call, each with the link or instance that it is about.
//!
//! The wrapper's own call has no place for the scope, which is what tells one link from the sum over all of them.

use nvml_wrapper::error::{NvmlError, nvml_sym, nvml_try};
use nvml_wrapper::{Device, FieldIdScheme};
use nvml_wrapper_sys::bindings as raw;
use orrery_telemetry::CounterWidth;

/// One question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Field {
    /// The number, in the numbering of drivers before 580.82.
    pub(super) id: u32,
    /// Which link it is about; 0 for what is no link's.
    pub(super) scope: u32,
}

/// The scope that asks for the sum over all links (nvml.h: `UINT_MAX returns aggregate`).
pub(super) const ALL_LINKS: u32 = u32::MAX;

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FieldValue {
    pub(super) number: u64,
    /// The width of the type in which it came.
    pub(super) width: CounterWidth,
}

/// Asks `device` for all of `fields` in one call; one answer for each.
///
/// # Errors
/// When the call as a whole failed.
pub(super) fn ask(
    device: &Device<'_>,
    fields: &[Field],
) -> Result<Vec<Result<FieldValue, NvmlError>>, NvmlError> {
    let nvml = device.nvml();
    let call = nvml_sym(nvml.lib().nvmlDeviceGetFieldValues.as_ref())?;
    let question = |field: &Field| raw::nvmlFieldValue_t {
        fieldId: number_for(nvml.field_id_scheme(), field.id),
        scopeId: field.scope,
        timestamp: 0,
        latencyUsec: 0,
        valueType: 0,
        nvmlReturn: 0,
        value: raw::nvmlValue_t { ullVal: 0 },
    };
    let mut values: Vec<raw::nvmlFieldValue_t> = fields.iter().map(question).collect();
    let count = i32::try_from(values.len()).map_err(|_too_many| NvmlError::InvalidArg)?;
    // SAFETY: the handle is the device's, and the pointer is valid for `count` values, which the call fills.
    nvml_try(unsafe { call(device.handle(), count, values.as_mut_ptr()) })?;
    Ok(values.iter().map(answer).collect())
}

/// The number of field `id` for the driver: 580.82 gave the fields from 251 to 273 other numbers.
fn number_for(scheme: FieldIdScheme, id: u32) -> u32 {
    match (scheme, id) {
        (FieldIdScheme::V13Update1, 251..=255) => id + 18,
        (FieldIdScheme::V13Update1, 256..=273) => id - 5,
        _ => id,
    }
}

fn answer(value: &raw::nvmlFieldValue_t) -> Result<FieldValue, NvmlError> {
    nvml_try(value.nvmlReturn)?;
    // SAFETY: the driver says in `valueType` which member it wrote; all bits are a value of each of them.
    let (number, width) = unsafe {
        match value.valueType {
            raw::nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_INT => {
                (u64::from(value.value.uiVal), CounterWidth::Bits32)
            }
            raw::nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_SHORT => {
                (u64::from(value.value.usVal), CounterWidth::Bits32)
            }
            raw::nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_LONG => {
                (value.value.ulVal, CounterWidth::Bits64)
            }
            raw::nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_LONG_LONG => {
                (value.value.ullVal, CounterWidth::Bits64)
            }
            raw::nvmlValueType_enum_NVML_VALUE_TYPE_SIGNED_LONG_LONG => (
                u64::try_from(value.value.sllVal).map_err(|_negative| NvmlError::Unknown)?,
                CounterWidth::Bits64,
            ),
            raw::nvmlValueType_enum_NVML_VALUE_TYPE_SIGNED_INT => (
                u64::try_from(value.value.siVal).map_err(|_negative| NvmlError::Unknown)?,
                CounterWidth::Bits32,
            ),
            // A float, or a type of a newer driver: none of the fields that are asked for is one.
            _ => return Err(NvmlError::UnexpectedVariant(value.valueType)),
        }
    };
    Ok(FieldValue { number, width })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_have_other_numbers_from_driver_580_82_on() {
        // Fields of the reasons that hold the clocks down, and of power smoothing, which changed places.
        for (id, old, new) in [
            (74, 74, 74),
            (251, 251, 269),
            (253, 253, 271),
            (256, 256, 251),
            (273, 273, 268),
        ] {
            assert_eq!(number_for(FieldIdScheme::V12, id), old);
            assert_eq!(number_for(FieldIdScheme::V13Update1, id), new);
        }
    }
}
