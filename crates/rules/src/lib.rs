//! Rule files, group evaluation, alert state.
