"""An EVM chain that executes in parallel, decides by models it can prove, and pays everyone who made them."""
