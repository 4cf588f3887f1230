package wire

// DescribeConfigs, of Kafka 1.1, spoken up to 4.x.
const (
	DescribeConfigsKey     = 32
	DescribeConfigsVersion = 1
)

const topicResource = 2 // of Kafka's ConfigResource.Type

// TopicConfig is the answer about one topic.
type TopicConfig struct {
	Topic  string
	Code   int16
	Values map[string]string // by name; those that were asked for and have a value
}

// AppendDescribeConfigs asks for some settings of topics.
func AppendDescribeConfigs(dst []byte, topics []string, names ...string) []byte {
	dst = AppendInt32(dst, int32(len(topics)))
	for _, t := range topics {
		dst = AppendString(append(dst, topicResource), t)
		dst = AppendInt32(dst, int32(len(names)))
		for _, n := range names {
			dst = AppendString(dst, n)
		}
	}
	return append(dst, 0) // no synonyms
}

// ReadConfigs reads the answer to DescribeConfigs.
func ReadConfigs(body []byte) ([]TopicConfig, error) {
	f := Fields{B: body}
	f.Int32() // throttle
	var all []TopicConfig
	for range f.Count(11) {
		t := TopicConfig{Code: f.Int16(), Values: map[string]string{}}
		_ = f.String() // what is wrong
		f.Int8()       // type
		t.Topic = f.String()
		for range f.Count(11) {
			name, value := f.String(), f.String()
			f.Int8() // read only
			f.Int8() // source
			f.Int8() // sensitive
			for range f.Count(5) {
				_ = f.String()
				_ = f.String()
				f.Int8()
			}
			if value != "" {
				t.Values[name] = value
			}
		}
		all = append(all, t)
	}
	return all, f.Err
}
