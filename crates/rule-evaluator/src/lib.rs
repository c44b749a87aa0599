//! rule-evaluator.
