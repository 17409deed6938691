"""What reported outcomes teach: corrections of predicted costs, alarms, exploration, evaluation. Pure."""
