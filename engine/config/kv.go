package config

// kv checks the bucket of a projection, which is no other's: buckets has those before it.
func (v *validator) kv(p path, pr Projection, buckets map[string]string) {
	bucket := pr.KV.Bucket
	if bucket == "" {
		return
	}
	v.require(p, bucketName.MatchString(bucket), "projection.kv.bucket is %q: use letters, digits, - and _", bucket)
	other, taken := buckets[bucket]
	v.require(p, !taken, "projection.kv.bucket %q is that of projection %s, too: each needs one of its own", bucket, other)
	buckets[bucket] = pr.Name
}
