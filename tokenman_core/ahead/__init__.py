"""What a call will use and cost at most, told before it is sent: what budgets reserve and limits on tokens are charged with."""
