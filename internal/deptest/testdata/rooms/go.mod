module example.test/rooms

go 1.26.0
