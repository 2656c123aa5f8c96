INSERT INTO `a` VALUES (1,2),(1,3),(1,4),(1,5);
