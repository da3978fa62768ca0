# Prints the alerts that movements.jsonl amounts to, without the projection:
#   awk -v threshold=10 -f alerts.awk movements.jsonl > alerts.jsonl
{
	match($0, /"item":"[^"]*"/);   item = substr($0, RSTART + 8, RLENGTH - 9)
	match($0, /"change":-?[0-9]+/); before = stock[item]; stock[item] += substr($0, RSTART + 9, RLENGTH - 9)
	if (before >= threshold && stock[item] < threshold)
		printf "{\"cause\":%d,\"item\":\"%s\",\"stock\":%d,\"threshold\":%d,\"number\":%d}\n", NR, item, stock[item], threshold, ++alerts[item]
}
