package main

import (
	"bufio"
	"encoding/binary"
	"io"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/json"
)

// The longest line there may be.
const longest = 16 << 20

// Pods as JSON, one a line; each comes out as the four bytes of its length (big-endian) and its protobuf message.
// Lists and watch events are put together of these by the replay server.
func encode(in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 1<<20), longest)
	writer := bufio.NewWriterSize(out, 1<<20)
	var length [4]byte
	for lines.Scan() {
		var pod corev1.Pod
		if err := json.Unmarshal(lines.Bytes(), &pod); err != nil {
			return err
		}
		message, err := pod.Marshal()
		if err != nil {
			return err
		}
		binary.BigEndian.PutUint32(length[:], uint32(len(message)))
		if _, err := writer.Write(length[:]); err != nil {
			return err
		}
		if _, err := writer.Write(message); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return writer.Flush()
}
