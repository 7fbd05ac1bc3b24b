pub(crate) const METHODS: &[(&str, crate::dispatch::Method)] = &[];  #[derive(Debug,Default)] pub(crate) struct TouchIndex;
