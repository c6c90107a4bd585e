//! The cost of a function to the compiler beyond its size: the values that are alive at its branches.
//!
//! At each block, loop and branch the compiler keeps a record of every value that is alive there: locals, parameters
//! and operands on the stack. Its time and memory grow with their sum over all branches. A file of 30 KB can drive this
//! sum to hundreds of millions (20,000 locals, 10,000 loops).

use super::invalid;
use crate::load_error::LoadError;
use wasmparser::{
    BinaryReaderError, FuncValidator, FunctionBody, Operator, OperatorsReader, WasmFeatures, WasmModuleResources,
};

/// Most live values at the branches of one function: 20 times the most of any function of CPython. They take the
/// compiler a quarter of a GiB.
pub const ONE: u64 = 5_000_000;
/// Most live values at the branches of all functions: 14 times as many as CPython has with its standard library.
pub const ALL: u64 = 100_000_000;

/// Validates a function, and counts the values that are alive at its branches.
///
/// # Errors
/// The function is not valid, or has more than [`ONE`].
pub(crate) fn validate<T: WasmModuleResources>(
    function: &mut FuncValidator<T>,
    body: &FunctionBody<'_>,
    features: WasmFeatures,
) -> Result<u64, LoadError> {
    let live = count(function, body, features).map_err(|error| invalid(&error))?;
    bounded("a function", live, ONE)?;
    Ok(live)
}

/// Refuses more live values than `most`.
///
/// # Errors
/// [`LoadError::Bomb`].
pub(crate) fn bounded(what: &str, live: u64, most: u64) -> Result<(), LoadError> {
    if live <= most {
        return Ok(());
    }
    Err(LoadError::Bomb(format!(
        "{what} would have more than {most} values alive at branches (locals and operands, times blocks); \
         split large functions, or build with optimisation"
    )))
}

/// As [`FuncValidator::validate`], and counts at each operator; ends early at more than [`ONE`].
fn count<T: WasmModuleResources>(
    function: &mut FuncValidator<T>,
    body: &FunctionBody<'_>,
    features: WasmFeatures,
) -> Result<u64, BinaryReaderError> {
    let mut reader = body.get_binary_reader();
    function.read_locals(&mut reader)?;
    reader.set_features(features);
    let mut operators = OperatorsReader::new(reader);
    let (locals, mut live) = (u64::from(function.len_locals()), 0_u64);
    while !operators.eof() {
        let (operator, offset) = operators.read_with_offset()?;
        let before = function.operand_stack_height();
        function.op(offset, &operator)?;
        let operands = u64::from(before.max(function.operand_stack_height()));
        live = live.saturating_add(alive(&operator, locals, operands));
        if live > ONE {
            // It is refused anyway, and validating the rest could take as many steps again.
            return Ok(live);
        }
    }
    operators.finish()?;
    Ok(live)
}

/// Values that the compiler keeps a record of at an operator.
fn alive(operator: &Operator<'_>, locals: u64, operands: u64) -> u64 {
    match operator {
        Operator::Block { .. }
        | Operator::Loop { .. }
        | Operator::If { .. }
        | Operator::Else
        | Operator::End
        | Operator::Br { .. }
        | Operator::BrIf { .. } => locals.saturating_add(operands),
        // The operands go to each target, and each may be another block.
        Operator::BrTable { targets } => {
            locals.saturating_add(u64::from(targets.len()).saturating_add(1).saturating_mul(operands.saturating_add(1)))
        }
        // Up to 1,000 parameters and results each, in two bytes.
        Operator::Call { .. }
        | Operator::CallIndirect { .. }
        | Operator::ReturnCall { .. }
        | Operator::ReturnCallIndirect { .. }
        | Operator::Return => operands,
        _ => 0,
    }
}
