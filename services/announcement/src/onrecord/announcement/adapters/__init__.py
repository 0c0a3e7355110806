"""The outside: prompt files and the recorders' doors."""
