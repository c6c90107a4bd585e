//! Decimal numbers as text, with every digit: comparison, addition and order-preserving bytes.
