pub(crate) const METHODS: &[(&str, crate::dispatch::Method)] = &[];
