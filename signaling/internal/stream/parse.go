package stream

func parseElement(p []byte, space string) (*Element, error) { panic("soon") }
